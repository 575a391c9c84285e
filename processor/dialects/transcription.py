"""OpenAI's `/audio/transcriptions` and `/audio/translations`: a form with a sound in, a text out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from processor.dialects.base import Asked, ClientResponse, StreamTranslator, Upload, UpstreamRequest
from processor.dialects.chat_request import Parameters, unsupported
from processor.dialects.openai_relay import OpenAIRelay
from processor.dialects.usage_shapes import transcription
from processor.dialects.vendor_errors import error_inside
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, Fields, JSONError, decode, encode, raw
from processor.wire.multipart import FormFile, write

PLAIN_TEXTS = {
    "text": "text/plain; charset=utf-8",
    "srt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
"""The content types of the formats that are not JSON."""

_FROM_JSON = ("json", "text")
"""Formats that need nothing of a vendor but the text in JSON."""

_HARMLESS = {"temperature": ("0", "0.0"), "stream": ("false", "0")}
"""Values, in a form all of them texts, that ask for what happens anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAITranscription:
    """The Translator. What it says of a vendor holds back what the vendor cannot do; without, everything goes on."""

    path: str
    takes: frozenset[str] | None = None
    """The parameters the vendor has beside model, file and stream; None for all of OpenAI's. A vendor with few answers
    in JSON alone, out of which a client that wants the text gets it.
    """
    streams: bool = True
    """Whether the vendor answers in events, if asked."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's form with the vendor's model."""
        sound_of(asked)
        fields = {"model": raw(asked.model), **self._fields(asked)}
        files = [
            FormFile(name=file.name, filename=file.filename, content_type=file.content_type, body=file.body)
            for file in asked.uploads
        ]
        content_type, body = write(_texts(fields), files, seed=asked.request_id)
        return UpstreamRequest(path=self.path, body=body, content_type=content_type)

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The vendor's answer as it came, in the format that was asked for."""
        wanted = format_of(asked)
        if self.takes is None and wanted in PLAIN_TEXTS and not body.startswith(b"{"):
            return ClientResponse(body=body, usage=None, model="", content_type=PLAIN_TEXTS[wanted])
        answer = _answered(body)
        if wanted not in PLAIN_TEXTS:
            return ClientResponse(body=body, usage=transcription(answer), model=str(answer.get("model") or ""))
        text = str(answer["text"]).encode()
        return ClientResponse(body=text, usage=transcription(answer), model="", content_type=PLAIN_TEXTS[wanted])

    def stream(self, asked: Asked) -> StreamTranslator:
        """A stream's translator."""
        return OpenAIRelay(path=self.path).stream(asked)

    def _fields(self, asked: Asked) -> Fields:
        """What of the client's fields goes on, in its order.

        Raises:
            MalformedRequest: one asks for something the vendor cannot do.
        """
        if self.takes is None:
            return {name: value for name, value in asked.fields.items() if name != "model"}
        check_format(asked)
        if asked.stream and not self.streams and not asked.drop_params:
            raise unsupported("stream", asked.model)
        taken = transcription_parameters(asked)
        fields = {name: raw(value) for name in sorted(self.takes) if (value := taken.take(name, Any)) is not None}
        taken.settle()
        return fields | ({"stream": raw("true")} if asked.stream and self.streams else {})


def sound_of(asked: Asked) -> Upload:
    """The file to be transcribed.

    Raises:
        MalformedRequest: there is none.
    """
    for upload in asked.uploads:
        if upload.name == "file":
            return upload
    raise MalformedRequest("`file` is missing.", param="file", code="missing_parameter")


def format_of(asked: Asked) -> str:
    """The `response_format` that was asked for."""
    return str(Parameters(asked).take("response_format", str, "json"))


def check_format(asked: Asked) -> None:
    """Check that what is asked for can be made of a text alone.

    Raises:
        MalformedRequest: it cannot.
    """
    wanted = format_of(asked)
    if wanted not in _FROM_JSON and not asked.drop_params:
        message = f"The model `{asked.model}` answers in json, text; `{wanted}` it cannot."
        raise MalformedRequest(message, param="response_format", code="unsupported_parameter")


def transcription_parameters(asked: Asked) -> Parameters:
    """The request's parameters beside its format, without those that ask for what happens anyway."""
    left = {
        name: value
        for name, value in asked.fields.items()
        if name != "response_format" and bytes(value).decode().strip('"') not in _HARMLESS.get(name, ())
    }
    return Parameters(replace(asked, fields=left))


def _texts(fields: Fields) -> Iterator[tuple[str, str]]:
    for name, field in fields.items():
        value = decode(field)
        if isinstance(value, list):
            yield from ((f"{name.removesuffix('[]')}[]", _text(item)) for item in value)
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def _answered(body: bytes) -> JSON:
    try:
        answer = decode(body)
    except JSONError as error:
        raise UpstreamProtocolError(f"The vendor's answer is not JSON: {error}.") from None
    if not isinstance(answer, dict):
        raise UpstreamProtocolError("The vendor's answer is not a JSON object.")
    if "text" not in answer:
        raise error_inside(answer, {}) or UpstreamProtocolError("The vendor's answer holds no text.")
    return answer
