"""Google's pictures: Imagen's predict, and generateContent of the Gemini models that draw. The model's name tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from msgspec import Struct

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.gemini_answer import Answer, Blob, finish_of, read, read_as
from processor.dialects.gemini_image_request import ImageWanted, nearest, size_word, wanted_image
from processor.dialects.gemini_paths import MODELS_PATH, method_path
from processor.dialects.openai_chat_edits import matches
from processor.dialects.vendor_errors import refused
from processor.domain import Usage
from processor.errors import UpstreamProtocolError, UpstreamRefused
from processor.wire.json import JSON, encode

IMAGEN_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9")
GEMINI_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")

_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}


class _Prediction(Struct, gc=False, rename="camel"):
    bytes_base64_encoded: str = ""
    mime_type: str = ""
    prompt: str | None = None
    """The prompt as Imagen improved it."""
    rai_filtered_reason: str | None = None


class _Predictions(Struct, gc=False):
    predictions: list[_Prediction] | None = None


@dataclass(frozen=True, slots=True)
class _Picture:
    blob: Blob
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiImages:
    """The Translator of images."""

    path: str = MODELS_PATH
    """What stands before the model's name."""
    imagen: tuple[str, ...] = ("imagen*", "imagegeneration*")
    """Models that are asked to predict; the others generate content."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first call, which for Imagen is the only one."""
        wanted = wanted_image(asked, imagen=self._is_imagen(asked))
        return self._prediction(asked, wanted) if self._is_imagen(asked) else self._generation(asked, wanted)

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The pictures. A Gemini model draws one a call: for more it is asked again, all at once."""
        wanted = wanted_image(asked, imagen=self._is_imagen(asked))
        if self._is_imagen(asked):
            return _predicted(body, asked, wanted)
        if wanted.count == 1:
            return _generated((body,), asked, wanted)
        again = (self._generation(asked, wanted),) * (wanted.count - 1)
        return Pending(calls=again, then=lambda bodies: _generated((body, *bodies), asked, wanted))

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def _is_imagen(self, asked: Asked) -> bool:
        return matches(asked.model, self.imagen)

    def _prediction(self, asked: Asked, wanted: ImageWanted) -> UpstreamRequest:
        parameters: JSON = {"sampleCount": wanted.count}
        if wanted.size is not None:
            parameters["aspectRatio"] = nearest(wanted.size, IMAGEN_RATIOS)
            if word := size_word(wanted.size, most="2K"):
                parameters["sampleImageSize"] = word
        if wanted.output:
            parameters["outputOptions"] = wanted.output
        body = {"instances": [{"prompt": wanted.prompt}], "parameters": parameters}
        return UpstreamRequest(path=method_path(self.path, asked.model, "predict"), body=encode(body))

    def _generation(self, asked: Asked, wanted: ImageWanted) -> UpstreamRequest:
        config: JSON = {"responseModalities": ["TEXT", "IMAGE"]}
        if wanted.size is not None:
            config["imageConfig"] = {"aspectRatio": nearest(wanted.size, GEMINI_RATIOS)}
            if word := size_word(wanted.size, most="4K"):
                config["imageConfig"]["imageSize"] = word
        contents = [{"role": "user", "parts": [{"text": wanted.prompt}]}]
        body = encode({"contents": contents, "generationConfig": config})
        return UpstreamRequest(path=method_path(self.path, asked.model, "generateContent"), body=body)


def _predicted(body: bytes, asked: Asked, wanted: ImageWanted) -> ClientResponse:
    predictions = read_as(body, _Predictions).predictions or []
    pictures = [
        _Picture(Blob(found.mime_type, found.bytes_base64_encoded), found.prompt)
        for found in predictions
        if found.bytes_base64_encoded
    ]
    if not pictures:
        reasons = [found.rai_filtered_reason for found in predictions if found.rai_filtered_reason]
        raise _filtered(reasons[0] if reasons else "The vendor filtered every image.")
    return _answer(pictures, None, asked, wanted)


def _generated(bodies: tuple[bytes, ...], asked: Asked, wanted: ImageWanted) -> ClientResponse:
    """One answer of several. One that was filtered is missed; if all were, the first's reason is told."""
    answers = [read(body) for body in bodies]
    pictures = [_Picture(blob) for answer in answers for blob in _blobs(answer)]
    if not pictures:
        raise _without_picture(answers[0])
    counts = [usage for answer in answers if (usage := answer.usage) is not None]
    usage = _sum(counts) if counts else None
    return _answer(pictures, usage, asked, wanted, model=answers[0].model_version or "")


def _blobs(answer: Answer) -> list[Blob]:
    """The pictures of an answer; those drawn while thinking are drafts."""
    parts = [part for candidate in answer.candidates or () for part in candidate.parts if not part.thought]
    return [part.inline_data for part in parts if part.inline_data is not None]


def _without_picture(answer: Answer) -> UpstreamRefused | UpstreamProtocolError:
    """Why there is none: a filter's doing, which is the prompt's fault, or the model's."""
    if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
        return _filtered(f"The prompt was blocked: {answer.prompt_feedback.block_reason}.")
    for candidate in answer.candidates or ():
        said = "".join(part.text or "" for part in candidate.parts if not part.thought)
        why = candidate.finish_message or said or f"The vendor made no image: {candidate.finish_reason}."
        if finish_of(candidate.finish_reason, called=False) == "content_filter":
            return _filtered(why)
        return UpstreamProtocolError(why, code="no_image")
    return UpstreamProtocolError("The vendor's answer holds no candidates.")


def _filtered(why: str) -> UpstreamRefused:
    return refused(400, why, code="content_filter")


def _sum(counts: list[Usage]) -> Usage:
    return Usage(
        input_tokens=sum(count.input_tokens for count in counts),
        output_tokens=sum(count.output_tokens for count in counts),
        cached_input_tokens=sum(count.cached_input_tokens for count in counts),
        reasoning_tokens=sum(count.reasoning_tokens for count in counts),
    )


def _answer(
    pictures: list[_Picture], usage: Usage | None, asked: Asked, wanted: ImageWanted, *, model: str = ""
) -> ClientResponse:
    answer: JSON = {"created": asked.now, "data": [_entry(picture, wanted) for picture in pictures]}
    if kind := _FORMATS.get(pictures[0].blob.mime_type):
        answer["output_format"] = kind
    if usage is not None:
        answer["usage"] = {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": usage.input_tokens},
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
    return ClientResponse(body=encode(answer), usage=usage, model=model)


def _entry(picture: _Picture, wanted: ImageWanted) -> JSON:
    entry: JSON = {"url": picture.blob.url} if wanted.as_url else {"b64_json": picture.blob.data}
    return {**entry, **({"revised_prompt": picture.revised_prompt} if picture.revised_prompt else {})}
