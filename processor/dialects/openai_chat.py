"""OpenAI's chat completions: what most vendors speak, each with a few deviations, which stand here as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from processor.dialects.base import ClientResponse, UpstreamRequest
from processor.dialects.openai_chat_edits import Edit
from processor.dialects.openai_chat_repairs import CodeInside, Repair, error_in, generated_text
from processor.dialects.openai_chat_stream import Chunks, OpenAIChatStream
from processor.dialects.usage_shapes import openai
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import Fields, JSONError, decode, decode_fields, encode, raw

_ALWAYS_PARSED = (b'"usage"', b'"error"')


@dataclass(frozen=True, kw_only=True)
class OpenAIChat:
    """The Translator of a vendor that speaks OpenAI's dialect."""

    path: str = "/v1/chat/completions"
    edits: tuple[Edit, ...] = ()
    """Changes to the request, in this order."""
    repairs: tuple[Repair, ...] = ()
    """Changes to the answer, in this order."""
    check: CodeInside | None = None
    """How the vendor reports an error inside a 200, beside OpenAI's own way."""
    stream_usage: bool = True
    """Whether the vendor takes `stream_options.include_usage`; some old servers refuse it."""
    headers: tuple[tuple[str, str], ...] = field(default=())

    def request(self, fields: Fields, *, model: str, stream: bool) -> UpstreamRequest:
        """The client's request with the vendor's model, edited; what is not edited stays as it was written."""
        fields = dict(fields)
        fields["model"] = raw(model)
        if not stream:
            # With `stream: false` OpenAI and others refuse the options.
            fields.pop("stream_options", None)
        elif self.stream_usage:
            options = decode(fields["stream_options"]) if "stream_options" in fields else None
            fields["stream_options"] = raw({**(options or {}), "include_usage": True})
        try:
            for edit in self.edits:
                edit.apply(fields, model)
        except JSONError as error:
            raise MalformedRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
        return UpstreamRequest(path=self.path, body=encode(fields), headers=self.headers)

    def response(self, body: bytes) -> ClientResponse:
        """The vendor's answer, as it came unless something in it needs repair."""
        try:
            fields = decode_fields(body.strip())  # DeepSeek sends blank lines while a request waits
            if error := error_in(
                {name: decode(fields[name]) for name in fields if name in self._error_keys}, self.check
            ):
                raise error
            if any(needle in body for repair in self.repairs for needle in repair.needles):
                answer = decode(body)
                for repair in self.repairs:
                    repair.apply(answer)
                body = encode(answer)
                fields = decode_fields(body)
            usage = _usage(fields)
            chars = 0 if usage else sum(len(text.encode()) for text in generated_text(decode(body)))
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer is not a JSON object: {error}.") from None
        return ClientResponse(body=body, usage=usage, model=_text(fields.get("model")), output_chars=chars)

    def stream(self, *, include_usage: bool) -> OpenAIChatStream:
        """A stream's translator."""
        return OpenAIChatStream(self._chunks, include_usage=include_usage)

    @cached_property
    def _chunks(self) -> Chunks:
        repaired = tuple(needle for repair in self.repairs for needle in repair.needles)
        checked = (self.check.needle,) if self.check else ()
        needles = tuple(dict.fromkeys((*_ALWAYS_PARSED, *repaired, *checked)))
        return Chunks(repairs=self.repairs, check=self.check, needles=needles)

    @cached_property
    def _error_keys(self) -> frozenset[str]:
        """The top-level keys an error inside a 200 may stand in."""
        inside = {self.check.place[0], self.check.message} if self.check else set()
        return frozenset({"error"} | inside)


def _usage(fields: Fields) -> Usage | None:
    return openai({"usage": decode(fields["usage"])}) if "usage" in fields else None


def _text(value: msgspec.Raw | None) -> str:
    found = decode(value) if value is not None else None
    return found if isinstance(found, str) else ""
