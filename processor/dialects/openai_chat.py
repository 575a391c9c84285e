"""OpenAI's chat completions: what most vendors speak, each with a few deviations, which stand here as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from msgspec import UNSET

from processor.dialects.base import Asked, ClientResponse, HeaderPairs, UpstreamRequest
from processor.dialects.openai_chat_edits import WITH_USAGE, Edit
from processor.dialects.openai_chat_fold import folded, is_stream
from processor.dialects.openai_chat_repairs import Repair, SoFar
from processor.dialects.openai_chat_rules import CodeInside, Rules
from processor.dialects.openai_chat_skim import Skim, counted, skim
from processor.dialects.openai_chat_stream import OpenAIChatStream
from processor.dialects.usage_shapes import openai
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import Fields, JSONError, decode, encode, raw


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
    statuses: Mapping[str, int] = field(default_factory=dict)
    """The HTTP statuses of the vendor's codes, for an `error` inside a 200."""
    stream_usage: bool = True
    """Whether the vendor takes `stream_options.include_usage`; some old servers refuse it."""
    headers: HeaderPairs = ()

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request with the vendor's model, edited; what is not edited stays as it was written."""
        fields = dict(asked.fields)
        fields["model"] = raw(asked.model)
        try:
            self._set_stream_options(fields, stream=asked.stream)
            for edit in self.edits:
                edit.apply(fields, asked)
        except JSONError as error:
            raise MalformedRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
        return UpstreamRequest(path=self.path, body=encode(fields), headers=self.headers)

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The vendor's answer, as it came unless something in it needs repair."""
        body = body.strip()  # DeepSeek sends blank lines while a request waits
        if is_stream(body):
            return self._folded(body, asked)
        so_far = SoFar(streamed=False)
        seen = skim(body)
        if seen is None or self._rules.concern(seen, so_far):
            body = self._mended(body, so_far)
            seen = skim(body)
        return _answer(body, seen)

    def stream(self, asked: Asked) -> OpenAIChatStream:
        """A stream's translator."""
        return OpenAIChatStream(self._rules, include_usage=asked.include_usage)

    def _set_stream_options(self, fields: Fields, *, stream: bool) -> None:
        if not stream:
            fields.pop("stream_options", None)  # without a stream, OpenAI and others refuse them
        elif self.stream_usage:
            options = decode(fields["stream_options"]) if "stream_options" in fields else None
            if not isinstance(options, dict | None):
                raise MalformedRequest("`stream_options` must be an object.", param="stream_options")
            fields["stream_options"] = raw({**(options or {}), **WITH_USAGE})

    def _mended(self, body: bytes, so_far: SoFar) -> bytes:
        try:
            mended = self._rules.mend(body, so_far)
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer is not JSON: {error}.") from None
        if mended is None:
            raise UpstreamProtocolError("The vendor's answer is not a JSON object.")
        return mended

    def _folded(self, body: bytes, asked: Asked) -> ClientResponse:
        return folded(body, self.stream(replace(asked, include_usage=True)))

    @cached_property
    def _rules(self) -> Rules:
        return Rules(repairs=self.repairs, check=self.check, statuses=self.statuses)


def _answer(body: bytes, seen: Skim | None) -> ClientResponse:
    if seen is None:  # a content that is not text, say: not OpenAI's form, but the client may know it
        answer = decode(body)
        return ClientResponse(body=body, usage=openai(answer), model=str(answer.get("model") or ""))
    if not isinstance(seen.choices, list):
        raise UpstreamProtocolError("The vendor's answer holds no choices.")
    usage = counted(bytes(seen.usage)) if seen.usage is not UNSET else None
    said = [choice.said() for choice in seen.choices] if usage is None else []
    chars = sum(message.size() for message in said if message)
    return ClientResponse(body=body, usage=usage, model=seen.model or "", output_chars=chars)
