"""Converse's content blocks out of the parts of a client's message: text, pictures, sound, documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from processor.dialects.chat_request import DataURL, Part
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCUMENTS = {
    "application/pdf": "pdf",
    "application/msword": "doc",
    _OFFICE + "wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    _OFFICE + "spreadsheetml.sheet": "xlsx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
}
_NAME_FORBIDS = re.compile(r"[^A-Za-z0-9\-()\[\] ]+| {2,}")
"""In a document's name: letters, digits, hyphens, brackets and single spaces may stand there."""


class Blocks:
    """Makes blocks of one request, in which no two documents may have one name."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def of(self, part: Part, *, param: str) -> JSON | None:
        """A part as a block; None for blank text, which Converse refuses.

        Raises:
            MalformedRequest: a part that Converse has nothing like, or whose data is not whole.
        """
        maker = self._MAKERS.get(part.type)
        if maker is None:
            raise MalformedRequest(f"`{param}`: this model takes no part of type `{part.type}`.", param=f"{param}.type")
        return maker(self, part, param)

    def _text(self, part: Part, _: str) -> JSON | None:
        text = part.text or part.refusal or ""
        return {"text": text} if text.strip() else None

    def _image(self, part: Part, param: str) -> JSON:
        if part.image_url is None:
            raise MalformedRequest(f"`{param}` holds no picture.", param=param)
        url, where = part.image_url.url, f"{param}.image_url.url"
        if url.startswith("s3://"):
            return {"image": {"format": _extension(url, where), "source": {"s3Location": {"uri": url}}}}
        data = DataURL.parse(url, param=where)
        if data is None:
            raise MalformedRequest(f"`{where}`: Bedrock fetches no pictures; send a data URL.", param=where)
        if data.media_type not in _IMAGES:
            raise MalformedRequest(f"`{where}`: a picture must be PNG, JPEG, GIF or WebP.", param=where)
        return {"image": {"format": _IMAGES[data.media_type], "source": {"bytes": data.base64}}}

    def _audio(self, part: Part, param: str) -> JSON:
        if part.input_audio is None:
            raise MalformedRequest(f"`{param}` holds no sound.", param=param)
        return {"audio": {"format": part.input_audio.format, "source": {"bytes": part.input_audio.data}}}

    def _file(self, part: Part, param: str) -> JSON:
        where = f"{param}.file.file_data"
        data = DataURL.parse(part.file.file_data or "", param=where) if part.file else None
        if part.file is None or data is None:
            raise MalformedRequest(f"`{where}`: Bedrock knows no uploaded files; send a data URL.", param=where)
        name = part.file.filename or ""
        format_ = _DOCUMENTS.get(data.media_type) or name.rpartition(".")[2].lower()
        if format_ not in _DOCUMENTS.values():
            raise MalformedRequest(f"`{where}`: Bedrock reads no `{data.media_type}`.", param=where)
        return {"document": {"format": format_, "name": self._named(name), "source": {"bytes": data.base64}}}

    def _named(self, filename: str) -> str:
        """A name that Converse takes, and no other document has."""
        stem = filename.rpartition(".")[0] or filename
        plain = wanted = _NAME_FORBIDS.sub(" ", stem).strip()[:100] or "document"
        number = 1
        while wanted in self._names:
            number += 1
            wanted = f"{plain} {number}"
        self._names.add(wanted)
        return wanted

    _MAKERS: Mapping[str, Callable[[Blocks, Part, str], JSON | None]] = {
        "text": _text,
        "refusal": _text,
        "image_url": _image,
        "input_audio": _audio,
        "file": _file,
    }


def _extension(url: str, param: str) -> str:
    """The format a file's name tells."""
    found = _IMAGES.get("image/" + url.rpartition(".")[2].lower())
    if found is None:
        raise MalformedRequest(f"`{param}`: the name must end in .png, .jpg, .gif or .webp.", param=param)
    return found
