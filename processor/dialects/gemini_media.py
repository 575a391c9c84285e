"""Pictures, sound and documents of an OpenAI message as Gemini's parts: inline if they come along, else by address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from processor.dialects.chat_request import DataURL, Part
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
}
"""By the ending of a URL; without one the vendor looks for itself."""


def part_of(part: Part, *, param: str) -> JSON:
    """One part of a user's or a model's message.

    Raises:
        MalformedRequest: its type is unknown, or it lacks what its type promises.
    """
    reader = _READERS.get(part.type)
    if reader is None:
        raise MalformedRequest(f"`{param}`: this model does not take parts of type `{part.type}`.", param=param)
    found = reader(part, param)
    if found is None:
        raise MalformedRequest(f"`{param}` is of type `{part.type}`, but holds nothing of it.", param=param)
    return found


def _text(part: Part, param: str) -> JSON | None:  # noqa: ARG001 - a reader's shape
    text = part.text if part.text is not None else part.refusal
    return None if text is None else {"text": text}


def _image(part: Part, param: str) -> JSON | None:
    return _located(part.image_url.url, f"{param}.image_url.url") if part.image_url else None


def _audio(part: Part, param: str) -> JSON | None:  # noqa: ARG001 - a reader's shape
    sound = part.input_audio
    return {"inlineData": {"mimeType": f"audio/{sound.format}", "data": sound.data}} if sound else None


def _file(part: Part, param: str) -> JSON | None:
    """A document in a `data:` URL, or the address that Gemini's own Files API gave."""
    if part.file is None:
        return None
    if part.file.file_data:
        return _located(part.file.file_data, f"{param}.file.file_data")
    return _located(part.file.file_id, f"{param}.file.file_id") if part.file.file_id else None


def _located(url: str, param: str) -> JSON:
    if (inline := DataURL.parse(url, param=param)) is not None:
        return {"inlineData": {"mimeType": inline.media_type, "data": inline.base64}}
    try:
        address = urlsplit(url)
    except ValueError:
        address = None
    if address is None or not (address.scheme and address.netloc):
        raise MalformedRequest(f"`{param}` is not a URL.", param=param)
    media_type = _MEDIA_TYPES.get(address.path.rpartition(".")[2].lower())
    return {"fileData": {**({"mimeType": media_type} if media_type else {}), "fileUri": url}}


_READERS: Mapping[str, Callable[[Part, str], JSON | None]] = {
    "text": _text,
    "refusal": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}
