"""OpenAI's image answers, written from other dialects' pictures.

A client that wants base64 gets it where a vendor gives addresses: the pictures are fetched. One that wants a URL gets a
`data:` URL where a vendor gives base64 only: the gateway has no place to keep files.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from processor.dialects.base import Asked, ClientResponse, Fetch, Pending, UpstreamRequest
from processor.dialects.images_request import Form, data_url
from processor.dialects.usage_shapes import openai
from processor.dialects.vendor_errors import error_inside
from processor.domain import Usage
from processor.errors import UpstreamProtocolError, UpstreamRefused
from processor.wire.json import JSON, JSONError, decode, encode

Entries = list[JSON]
"""Pictures as OpenAI lists them: `url` or `b64_json`, perhaps `revised_prompt`."""

Reader = Callable[[JSON], tuple[Entries, list[JSON]]]
"""Reads a vendor's answer: its pictures, and the errors it holds in place of some."""

Finished = Callable[[list[JSON]], ClientResponse | Pending]
"""Makes the client's answer of all of a vendor's, in the order of their calls."""

_BASE64 = ("b64_json", "b64_image")
"""OpenAI's name, and Baidu's first version's."""


class Check(Protocol):
    """A vendor's way to report an error inside a 200: `openai_chat_rules.CodeInside`."""

    def error_in(self, answer: JSON) -> UpstreamRefused | None:
        """The error, if there is one."""
        ...


def read_answer(body: bytes, statuses: Mapping[str, int], check: Check | None = None) -> JSON:
    """Parse a vendor's whole answer.

    Raises:
        UpstreamRefused: it is an error; `statuses` are those of the vendor's codes.
        UpstreamProtocolError: it is not a JSON object.
    """
    try:
        answer = decode(body)
    except JSONError as error:
        raise UpstreamProtocolError(f"The vendor's answer is not JSON: {error}.") from None
    if not isinstance(answer, dict):
        raise UpstreamProtocolError("The vendor's answer is not a JSON object.")
    if failure := (check.error_in(answer) if check else None) or error_inside(answer, statuses):
        raise failure
    return answer


def gathered(
    body: bytes, others: Sequence[UpstreamRequest], read: Callable[[bytes], JSON], finished: Finished
) -> ClientResponse | Pending:
    """What is made of the first call's answer and, if there are others, of theirs. They are not made if it failed."""
    first = read(body)
    if not others:
        return finished([first])
    return Pending(calls=tuple(others), then=lambda bodies: finished([first, *map(read, bodies)]))


def answer_of(
    answers: Sequence[JSON], read: Reader, asked: Asked, form: Form | None, statuses: Mapping[str, int]
) -> ClientResponse | Pending:
    """One OpenAI answer of several of a vendor's. What failed beside a picture is left out.

    Raises:
        UpstreamRefused: every picture failed: the first one's reason.
        UpstreamProtocolError: there is none, and no reason.
    """
    found = [read(answer) for answer in answers]
    entries = [entry for made, _ in found for entry in made]
    if not entries:
        failures = (error_inside({"error": failure}, statuses) for _, failed in found for failure in failed)
        raise next(filter(None, failures), None) or UpstreamProtocolError(
            "The vendor's answer holds no image.", code="no_image"
        )
    usage = _sum([counted for answer in answers if (counted := openai(answer)) is not None])
    created, model = answers[0].get("created"), answers[0].get("model")
    head = {"created": created if isinstance(created, int) else asked.now}
    tail = {"usage": _usage_object(usage)} if usage else {}
    whole = ClientResponse(body=b"", usage=usage, model=model if isinstance(model, str) else "")
    return delivered(entries, form, lambda done: replace(whole, body=encode({**head, "data": done, **tail})))


def delivered(
    entries: Entries, form: Form | None, written: Callable[[Entries], ClientResponse]
) -> ClientResponse | Pending:
    """The answer that `written` makes of the entries, once each is in the form the client wants."""
    if form is None:
        return written(entries)
    if form == "url":
        return written([_with_url(entry) for entry in entries])
    entries = [_with_base64(entry) for entry in entries]
    far = [index for index, entry in enumerate(entries) if "b64_json" not in entry]
    if not far:
        return written(entries)

    def then(bodies: tuple[bytes, ...]) -> ClientResponse:
        fetched = dict(zip(far, bodies, strict=True))
        return written([_filled(entry, fetched.get(index)) for index, entry in enumerate(entries)])

    return Pending(calls=tuple(Fetch(entries[index]["url"]) for index in far), then=then)


def listed(answer: JSON) -> tuple[Entries, list[JSON]]:
    """Read `data` (or, SiliconFlow's own, `images`) as a list of pictures, of which some may be errors instead."""
    items = next((found for name in ("data", "images") if isinstance(found := answer.get(name), list) and found), [])
    items = [item for item in items if isinstance(item, dict)]
    failed = [item["error"] for item in items if isinstance(item.get("error"), dict)]
    return [entry for item in items if (entry := entry_of(item))], failed


def entry_of(item: JSON, url: str = "url", revised: str = "revised_prompt") -> JSON:
    """A vendor's picture as an entry; empty if it holds none."""
    base64 = next((found for name in _BASE64 if isinstance(found := item.get(name), str) and found), None)
    address = item.get(url)
    if base64:
        entry: JSON = {"b64_json": base64}
    elif isinstance(address, str) and address:
        entry = {"url": address}
    else:
        return {}
    prompt = item.get(revised)
    return {**entry, "revised_prompt": prompt} if isinstance(prompt, str) and prompt else entry


def _with_url(entry: JSON) -> JSON:
    base64 = entry.get("b64_json")
    if entry.get("url") or not isinstance(base64, str):
        return entry
    return {"url": data_url(base64), **_without(entry, "b64_json")}


def _with_base64(entry: JSON) -> JSON:
    """With the base64 that is there already, if only inside a `data:` URL."""
    if entry.get("b64_json"):
        return _without(entry, "url")
    entry = _without(entry, "b64_json")
    url = entry.get("url")
    if not isinstance(url, str):
        raise UpstreamProtocolError("The vendor's answer holds an image without a URL.")
    head, comma, data = url.partition(",")
    inline = head.startswith("data:") and head.endswith(";base64") and comma
    return {"b64_json": data, **_without(entry, "url")} if inline else entry


def _filled(entry: JSON, body: bytes | None) -> JSON:
    if body is None:
        return entry
    return {"b64_json": b64encode(body).decode(), **_without(entry, "url")}


def _without(entry: JSON, name: str) -> JSON:
    return {key: value for key, value in entry.items() if key != name}


def _sum(counts: list[Usage]) -> Usage | None:
    if not counts:
        return None
    return Usage(
        input_tokens=sum(count.input_tokens for count in counts),
        output_tokens=sum(count.output_tokens for count in counts),
    )


def _usage_object(usage: Usage) -> JSON:
    """OpenAI's usage of images; no other vendor tells apart what the input was."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": usage.input_tokens},
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
