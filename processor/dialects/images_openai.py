"""OpenAI's own `/images/generations` and `/images/edits`, at OpenAI and at servers that have them alike.

The GPT image models answer in base64 and refuse `response_format`; a client that asks for a URL gets a `data:` one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.chat_request import typed
from processor.dialects.images import delivered
from processor.dialects.images_request import Form
from processor.dialects.openai_chat_edits import matches
from processor.dialects.openai_relay import OpenAIRelay, OpenAIRelayStream
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSONError, decode, decode_fields, encode
from processor.wire.multipart import FormFile, write


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIImages:
    """The Translator of both: what comes as a form goes on as a form."""

    path: str
    base64_only: tuple[str, ...] = ()
    """Models that are not told how their pictures are to come back, as shell-style patterns."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """The HTTP statuses of the vendor's codes, for an error inside a 200."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request with the vendor's model; everything else as it was written."""
        _form_of(asked)
        if matches(asked.model, self.base64_only):
            left = {name: value for name, value in asked.fields.items() if name != "response_format"}
            asked = replace(asked, fields=left)
        if not asked.uploads:
            return self._relay.request(asked)
        files = [
            FormFile(name=file.name, filename=file.filename, content_type=file.content_type, body=file.body)
            for file in asked.uploads
        ]
        content_type, body = write(_texts(asked), files, seed=asked.request_id)
        return UpstreamRequest(path=self.path, body=body, content_type=content_type)

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The vendor's answer as it came, unless its pictures are not in the form the client wants."""
        answer = self._relay.response(body, asked)
        form = _form_of(asked)
        if form is None:
            return answer
        try:
            fields = decode_fields(answer.body)
            entries = decode(fields["data"]) if "data" in fields else None
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer is not JSON: {error}.") from None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UpstreamProtocolError("The vendor's answer holds no list of images.")
        if all(entry.get(form) for entry in entries):
            return answer
        return delivered(entries, form, lambda done: replace(answer, body=encode({**fields, "data": done})))

    def stream(self, asked: Asked) -> OpenAIRelayStream:
        """A stream's translator: its pictures are in base64, always."""
        return self._relay.stream(asked)

    @property
    def _relay(self) -> OpenAIRelay:
        return OpenAIRelay(path=self.path, edits=(), statuses=self.statuses)


def _form_of(asked: Asked) -> Form | None:
    found: Form | None = typed(asked.fields.get("response_format", b"null"), Form | None, "response_format")
    return found


def _texts(asked: Asked) -> Iterator[tuple[str, str]]:
    """A form's text fields, the vendor's model among them; one that repeats under its name with brackets."""
    for name, raw in asked.fields.items():
        value = asked.model if name == "model" else decode(raw)
        if isinstance(value, list):
            yield from ((f"{name}[]", str(item)) for item in value)
        else:
            yield name, str(value)
