"""Golden cases: what a client asks, what a vendor is sent and answers, what the client gets.

One YAML file an operation and vendor, `golden/<operation>/<vendor>.yaml`. `self_hosted` stands for any configured base
URL, `<vendor>_native` for one whose other dialect was chosen. A file is a list of cases:

    - name: tools streamed            # unique in its file
      model: deepseek-chat            # the vendor's name for the model
      request: {model: m, …}          # the client's body; a form's text fields where there are uploads
      uploads:                        # the client's files: the request is a form
        - {name: file, filename: a.wav, content_type: audio/wav, body: …}
      upstream:                       # what the vendor is to be sent
        method: POST                  # the default
        path: /chat/completions
        headers: {name: value}        # beside the credential; none by default
        body: {…}                     # JSON; or:
        form: {name: value, file: {filename: …, content_type: …, body: …}}    # lists where a name repeats
      answer:                         # the vendor's, raw
        status: 200                   # the default
        content_type: audio/mpeg      # what the kind of body below suggests, if absent
        body: |                       # text; … or `stream:`, whose events end in an empty line,
        base64: …                     # … or bytes, … or `events:`, AWS's event stream
      then:                           # further calls, in any order; the vendor's answers to them
        - {upstream: {…} | fetch: "https://…", answer: {…}}
      client: same                    # `same` bytes as the vendor's, a block, or {base64: …}; absent with an error
      usage: {input: 9, output: 3, cached: 0, reasoning: 0, seconds: 2}   # absent: the vendor gave no count
      malformed: 1                    # events of the vendor's stream that are left out; none by default
      error: {status: 429, type: …, code: …, message: …}      # what the client is told instead

In what the client gets, `golden` stands for the request's id and 1790000000 for its time.

The cases know nothing of how the gateway works, so that they can be played at every height: against the translator,
against an exchange, and through a real Envoy.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

from processor.domain import Operation, Usage
from processor.wire.json import encode
from tests.support.eventstream import encoded

FOLDER = Path(__file__).parent.parent / "golden"

JSON = dict[str, Any]

REQUEST_ID = "golden"
NOW = 1790000000

_DIALECTS = {
    "self_hosted": "openai",
    "ali_native": "dashscope",
    "minimax_native": "minimax-native",
    "tencent_native": "tokenhub",
}

_KEYS = {"name", "model", "request", "uploads", "upstream", "answer", "then", "client", "usage", "malformed", "error"}
_DATE = re.compile(rb"\b1790000000\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenFile:
    """A file in a form."""

    name: str
    filename: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenUpstream:
    """What the vendor is to be sent."""

    path: str
    method: str = "POST"
    body: JSON | None = None
    form: JSON | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenAnswer:
    """The vendor's answer."""

    status: int
    body: bytes
    content_type: str
    events: bool
    """Whether it is a stream of events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCall:
    """A further call: a request to the vendor, or a file behind a URL."""

    upstream: GoldenUpstream | None
    fetch: str
    answer: GoldenAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenError:
    """What the client is told when the vendor fails."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None

    def to_client(self, vendor: str) -> GoldenError:
        """What a client of the gateway reads: that a vendor refuses the gateway's account is not the client's doing."""
        if self.status not in (401, 402, 403) and "insufficient_quota" not in (self.type, self.code):
            return self
        message = f"{vendor} does not serve the gateway's account; its operator should know."
        return GoldenError(status=502, type="server_error", code="upstream_account_refused", message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One exchange."""

    vendor: str
    """The file's name."""
    name: str
    operation: Operation
    model: str
    request: JSON
    uploads: tuple[GoldenFile, ...]
    upstream: GoldenUpstream
    answer: GoldenAnswer
    then: tuple[GoldenCall, ...]
    client: bytes | None
    """None where an error is expected."""
    usage: Usage | None
    malformed: int
    error: GoldenError | None

    def __str__(self) -> str:
        return f"{self.vendor} {self.operation}: {self.name}"

    @property
    def dialect(self) -> str:
        """What a server at a base URL has to be said to speak for this case."""
        return _DIALECTS.get(self.vendor, self.vendor)

    @property
    def provider(self) -> str:
        """The provider to ask, in a gateway whose configuration holds `golden_providers`."""
        return f"golden-{self.dialect}" if self.vendor in _DIALECTS else self.vendor

    @property
    def streams(self) -> bool:
        """Whether the answer is wanted as it comes."""
        return self.operation is Operation.SPEECH or self.request.get("stream") in (True, "true")

    @property
    def include_usage(self) -> bool:
        """Whether the client asked for the usage at the end of its stream."""
        return bool((self.request.get("stream_options") or {}).get("include_usage"))

    @property
    def refused(self) -> bool:
        """Whether the error is the vendor's own answer, by its status."""
        return self.error is not None and self.answer.status >= 300

    def client_pattern(self) -> re.Pattern[bytes]:
        """What the client gets where the request's id and time are not the golden ones."""
        assert self.client is not None
        text = re.escape(self.client)
        return re.compile(_DATE.sub(rb"\\d{10}", text).replace(b"golden", rb"[0-9a-f-]{32,36}"), re.DOTALL)


def written_request(case: GoldenCase, *, model: str) -> tuple[str, bytes]:
    """The client's content type and body, for a model as the gateway knows it."""
    fields = {**case.request, "model": model}
    if not case.uploads:
        return "application/json", encode(fields)
    texts = [(name, item) for name, value in fields.items() for item in (value if isinstance(value, list) else [value])]
    files = [(file.name, (file.filename, file.body, file.content_type)) for file in case.uploads]
    form = httpx.Request("POST", "http://gateway", data=_grouped(texts), files=files)
    return form.headers["content-type"], form.read()


def _grouped(texts: list[tuple[str, Any]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, text in texts:
        grouped.setdefault(name, []).append(text if isinstance(text, str) else json.dumps(text))
    return grouped


def golden_providers(base_url: str) -> str:
    """The entries of `providers:` that the cases of no vendor of their own need."""
    entries = (f"  golden-{dialect}: {{dialect: {dialect}, base_url: {base_url}}}" for dialect in _DIALECTS.values())
    return "\n".join(entries)


def golden_vendors(operation: Operation) -> list[str]:
    """The vendors that have a file for an operation."""
    return sorted(path.stem for path in (FOLDER / operation).glob("*.yaml"))


@cache
def golden_cases() -> tuple[GoldenCase, ...]:
    """Every case of every file."""
    return tuple(case for path in sorted(FOLDER.glob("*/*.yaml")) for case in _cases(path))


def _cases(path: Path) -> Iterator[GoldenCase]:
    entries = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names), f"{path}: two cases have one name"
    yield from (_case(path.stem, Operation(path.parent.name), entry) for entry in entries)


def _case(vendor: str, operation: Operation, entry: JSON) -> GoldenCase:
    where = f"{operation}/{vendor}: {entry['name']}"
    unknown = entry.keys() - _KEYS
    assert not unknown, f"{where}: {unknown} is not part of a case"
    assert ("client" in entry) != ("error" in entry), f"{where}: expects an answer, or else an error"
    answer = _answer(entry["answer"])
    return GoldenCase(
        vendor=vendor,
        name=entry["name"],
        operation=operation,
        model=entry["model"],
        request=entry["request"],
        uploads=tuple(_file(file["name"], file) for file in entry.get("uploads", ())),
        upstream=GoldenUpstream(**entry["upstream"]),
        answer=answer,
        then=tuple(map(_call, entry.get("then", ()))),
        client=_client(entry["client"], answer) if "client" in entry else None,
        usage=_usage(entry["usage"]) if "usage" in entry else None,
        malformed=entry.get("malformed", 0),
        error=GoldenError(**entry["error"]) if "error" in entry else None,
    )


def _file(name: str, entry: JSON) -> GoldenFile:
    return GoldenFile(
        name=name, filename=entry["filename"], content_type=entry["content_type"], body=_bytes(entry["body"])
    )


def _call(entry: JSON) -> GoldenCall:
    upstream = GoldenUpstream(**entry["upstream"]) if "upstream" in entry else None
    return GoldenCall(upstream=upstream, fetch=entry.get("fetch", ""), answer=_answer(entry["answer"]))


def _answer(entry: JSON) -> GoldenAnswer:
    kind, content_type, body = _body(entry)
    return GoldenAnswer(
        status=entry.get("status", 200),
        body=body,
        content_type=entry.get("content_type", content_type),
        events=kind in ("stream", "events"),
    )


def _body(entry: JSON) -> tuple[str, str, bytes]:
    """Kind, content type and bytes."""
    if "stream" in entry:
        return "stream", "text/event-stream", _events(entry["stream"])
    if "events" in entry:
        return "events", "application/vnd.amazon.eventstream", encoded(entry["events"])
    if "base64" in entry:
        return "base64", "application/octet-stream", b64decode(entry["base64"])
    return "body", "application/json", _bytes(entry["body"])


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.rstrip("\n").encode()


def _client(value: str | Mapping[str, str], answer: GoldenAnswer) -> bytes:
    if not isinstance(value, str):
        return b64decode(value["base64"])
    if value == "same":
        return answer.body
    return _events(value) if value.startswith(("data:", "event:", ":")) else value.strip().encode()


def _events(text: str) -> bytes:
    """A block of events; YAML keeps only one of the line feeds at its end."""
    return text.rstrip("\n").encode() + b"\n\n"


def _usage(entry: dict[str, int]) -> Usage:
    return Usage(
        input_tokens=entry.get("input", 0),
        output_tokens=entry.get("output", 0),
        cached_input_tokens=entry.get("cached", 0),
        reasoning_tokens=entry.get("reasoning", 0),
        seconds=entry.get("seconds"),
    )
