"""`multipart/form-data`, read and written: text fields, and files.

Reading is the `multipart` library's (RFC 7578 as browsers and SDKs write it), whole and in memory: the body has been
bounded before, and here the number of its parts and the length of its texts are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    content_disposition_quote,
    parse_options_header,
)

from processor.errors import WireError

PARTS_LIMIT = 128
"""Fields and files of one form: OpenAI's largest, an edit of 16 images, has about 30."""
TEXT_LIMIT = 1024 * 1024
"""Bytes of one text field."""

_FORM = "multipart/form-data"
_TEXT = ("text/", "application/json")
"""Types that some clients write on plain fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFile:
    """A file in a form."""

    name: str
    """The field's."""
    filename: str
    """Empty when the client gave none."""
    content_type: str
    """Empty when the client named none."""
    body: bytes = field(repr=False)


def parse(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], list[FormFile]]:
    """Read a form into its text fields and its files, both in the order they came.

    A part with a filename is a file, and so is one without whose type is not text.

    Args:
        content_type: the header's value, which names the boundary.
        body: all of it.

    Raises:
        WireError: it is not a form, or one with too many parts or too long a text.
    """
    media_type, options = parse_options_header(content_type)
    if media_type != _FORM or not options.get("boundary"):
        raise WireError("the content type names no form with a boundary")
    fields: list[tuple[str, str]] = []
    files: list[FormFile] = []
    for segment, data in _parts(options["boundary"], body):
        if _is_file(segment):
            files.append(_file(segment, data))
        else:
            fields.append((segment.name, _text(segment.name, data)))
    return fields, files


def write(fields: Iterable[tuple[str, str]], files: Iterable[FormFile], *, seed: str) -> tuple[str, bytes]:
    """Write a form: its content type, which names the boundary, and its body.

    Args:
        fields: text fields, in order; a name may repeat.
        files: they follow the fields.
        seed: what the boundary is made from: the same form with the same seed is the same bytes.
    """
    texts = [(_disposition(name), text.encode()) for name, text in fields]
    parts = texts + [(_file_head(file), file.body) for file in files]
    boundary = _boundary(seed, [body for _, body in parts])
    opening = b"--" + boundary + b"\r\n"
    pieces = [piece for head, body in parts for piece in (opening, head, b"\r\n\r\n", body, b"\r\n")]
    return f"{_FORM}; boundary={boundary.decode()}", b"".join((*pieces, b"--", boundary, b"--\r\n"))


def _parts(boundary: str, body: bytes) -> list[tuple[MultipartSegment, bytes]]:
    parts: list[tuple[MultipartSegment, bytes]] = []
    pieces: list[bytes] = []
    segment: MultipartSegment | None = None
    try:
        with PushMultipartParser(boundary, max_segment_count=PARTS_LIMIT, strict=True) as parser:
            for event in parser.parse(body) if body else ():
                if isinstance(event, MultipartSegment):
                    segment = event
                elif event is not None:
                    pieces.append(bytes(event))
                elif segment is not None:
                    parts.append((segment, pieces[0] if len(pieces) == 1 else b"".join(pieces)))
                    pieces = []
    except (MultipartError, UnicodeError) as error:
        raise WireError(str(error)) from None
    return parts


def _is_file(segment: MultipartSegment) -> bool:
    content_type = (segment.header("Content-Type") or "").lower()
    return segment.filename is not None or (content_type != "" and not content_type.startswith(_TEXT))


def _file(segment: MultipartSegment, data: bytes) -> FormFile:
    content_type = (segment.header("Content-Type") or "").strip()
    if not (content_type.isascii() and content_type.isprintable()):
        raise WireError("a file's content type is not printable")
    return FormFile(name=segment.name, filename=segment.filename or "", content_type=content_type, body=data)


def _text(name: str, data: bytes) -> str:
    if len(data) > TEXT_LIMIT:
        raise WireError(f"the field {name!r} has more than {TEXT_LIMIT} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise WireError(f"the field {name!r} is not UTF-8") from None


def _disposition(name: str) -> bytes:
    return f"Content-Disposition: form-data; name={content_disposition_quote(name)}".encode()


def _file_head(file: FormFile) -> bytes:
    filename = f"; filename={content_disposition_quote(file.filename or file.name)}"
    content_type = f"\r\nContent-Type: {file.content_type or 'application/octet-stream'}"
    return _disposition(file.name) + filename.encode() + content_type.encode()


def _boundary(seed: str, bodies: list[bytes]) -> bytes:
    """A boundary that no body holds: the first, but for one in 2^128 or a client that knows the seed."""
    attempt = 0
    while True:
        boundary = b"form-" + blake2b(f"{seed} {attempt}".encode(), digest_size=16).hexdigest().encode()
        if not any(boundary in body for body in bodies):
            return boundary
        attempt += 1
