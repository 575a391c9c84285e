"""OpenAI's own endpoints at vendors that have them: the request with the vendor's model, the answer as it came.

Made for `/responses` and `/moderations`. The stream is OpenAI's newer kind, whose events name their `type`; those of
images, speech and transcripts are of that kind too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from processor.dialects.base import Asked, ClientResponse, HeaderPairs, UpstreamRequest
from processor.dialects.observe_text import generated_size
from processor.dialects.openai_chat_edits import Edit
from processor.dialects.usage_shapes import openai
from processor.dialects.vendor_errors import error_inside, refusal
from processor.dialects.vendor_events import SSEStream, check_text
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import Fields, JSONError, decode, decode_fields, encode, raw
from processor.wire.sse import SSEDecoder, SSEEvent

_PREAMBLE = frozenset(
    {
        "",
        "keepalive",
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
"""Events that hold nothing yet: until another has come, a failure can still be told by the status."""

_LAST = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "image_generation.completed",
        "image_edit.completed",
        "speech.audio.done",
        "transcript.text.done",
    }
)

_LAST_OF_ALL = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Those that come once: there is one of the others for each of several images."""

_STATUSES = {
    "server_error": 500,
    "rate_limit_exceeded": 429,
    "invalid_prompt": 400,
    "bio_policy": 400,
    "cyber_policy": 400,
    "misalignment_policy_violation": 400,
    "vector_store_timeout": 504,
    **dict.fromkeys(("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url"), 400),
    **dict.fromkeys(("image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode"), 400),
    **dict.fromkeys(("image_content_policy_violation", "image_file_too_large", "empty_image_file"), 400),
    **dict.fromkeys(("unsupported_image_media_type", "failed_to_download_image", "image_file_not_found"), 400),
}
"""Of the codes of a failed response, as the `openai` SDK lists them."""

_SOUND = ".audio.delta"
_OF_AN_ERROR = ("error", "object", "code", "message", "msg")


@dataclass(frozen=True, slots=True)
class NoBackground:
    """Refuse an answer that is to be fetched later: the gateway has no way to fetch it, nor to count it."""

    def apply(self, fields: Fields, asked: Asked) -> None:  # noqa: ARG002 - for every model
        """Refuse it."""
        if "background" in fields and bytes(fields["background"]) == b"true":
            message = "`background` is not offered: the gateway keeps no state, so the answer could not be fetched."
            raise MalformedRequest(message, param="background", code="unsupported_parameter")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIRelay:
    """The Translator of an endpoint that a vendor has as OpenAI does, `/chat/completions` apart."""

    path: str
    edits: tuple[Edit, ...] = (NoBackground(),)
    """Changes to the request, in this order."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """The HTTP statuses of the vendor's codes, for an error inside a 200."""
    headers: HeaderPairs = ()

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request with the vendor's model; what is not edited stays as it was written."""
        fields = dict(asked.fields)
        fields["model"] = raw(asked.model)
        try:
            for edit in self.edits:
                edit.apply(fields, asked)
        except JSONError as error:
            raise MalformedRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
        return UpstreamRequest(path=self.path, body=encode(fields), headers=self.headers)

    def response(self, body: bytes, asked: Asked) -> ClientResponse:  # noqa: ARG002 - the answer holds all it needs
        """The vendor's answer as it came."""
        body = body.strip()
        try:
            fields = decode_fields(body)
            if error := self._error_in({name: decode(fields[name]) for name in _OF_AN_ERROR if name in fields}):
                raise error
            usage = openai({"usage": decode(fields["usage"])}) if "usage" in fields else None
            model = decode(fields["model"]) if "model" in fields else ""
            chars = generated_size(decode(body)) if usage is None else 0
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer is not a JSON object: {error}.") from None
        return ClientResponse(body=body, usage=usage, model=model if isinstance(model, str) else "", output_chars=chars)

    def stream(self, asked: Asked) -> OpenAIRelayStream:  # noqa: ARG002 - its usage is told whatever was asked for
        """A stream's translator."""
        return OpenAIRelayStream(self)

    def error_in(self, event: Any) -> UpstreamRefused | None:
        """The error an event of the stream stands for: `response.failed`, or `error` in either of its two forms."""
        inner = event.get("response")
        if isinstance(inner, dict) and inner.get("error"):
            return self._error_in({"error": inner["error"]})
        return self._error_in(event if event.get("error") else {"error": event})

    def _error_in(self, answer: dict[str, Any]) -> UpstreamRefused | None:
        return error_inside(answer, {**_STATUSES, **self.statuses})


class _Inner(msgspec.Struct, gc=False):
    model: str | None = None
    usage: Raw | UnsetType = UNSET


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Raw | UnsetType = UNSET
    response: _Inner | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decoder = msgspec.json.Decoder(_Event)


class OpenAIRelayStream(SSEStream):
    """The StreamTranslator of a relay: every event goes on as it came, only skimmed.

    A failure before the first content is raised; a later one is an event the client understands. An event that is not
    a JSON object is left out: clients fail on it.
    """

    def __init__(self, relay: OpenAIRelay) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = ""
        self._relay = relay
        self._decoder = SSEDecoder()
        self._ended = False

    def close(self) -> bytes:
        """The vendor's body has ended."""
        out = self._rest() or b""
        if not self._ended:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out

    def _event(self, event: SSEEvent) -> bytes:
        data = event.data
        if not data:
            return event.comment()
        if data.startswith(b"[DONE]"):  # Ark's; in OpenAI's own streams of this kind nothing follows the last event
            self._ended = True
            return b""
        seen = _read(event)
        self._note(seen)
        if _fails(seen, event.event):
            self._failed(data)
        self._ended = self._ended or seen.type in _LAST
        self.complete = self.complete or seen.type in _LAST_OF_ALL
        self.content_seen = self.content_seen or seen.type not in _PREAMBLE
        return event.raw

    def _note(self, seen: _Event) -> None:
        """Note what an event holds."""
        if seen.delta is not UNSET and not seen.type.endswith(_SOUND):
            delta = decode(seen.delta)
            self.output_chars += len(delta.encode()) if isinstance(delta, str) else 0
        usage = seen.usage
        if seen.response is not None:
            self.model = self.model or seen.response.model or ""
            usage = seen.response.usage
        if usage is not UNSET:
            self.usage = openai({"usage": decode(usage)}) or self.usage

    def _failed(self, data: bytes) -> None:
        if self.content_seen:
            self._ended = True
            return
        if error := self._relay.error_in(decode(data)):
            raise error


def _read(event: SSEEvent) -> _Event:
    """An event.

    Raises:
        UpstreamRefused: it is named "error", whatever it holds.
        JSONError: it is none.
    """
    try:
        seen = _decoder.decode(event.data)
        check_text(event.raw)
    except JSONError:
        if event.event == "error":
            raise refusal(502, event.data, vendor="The vendor") from None
        raise
    return seen


def _fails(seen: _Event, name: str) -> bool:
    if seen.type in ("error", "response.failed") or name == "error":
        return True
    return seen.error is not UNSET and bytes(seen.error) not in (b"null", b"{}")
