"""Reads a vendor's multipart form, independently of what wrote it."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, cast


def read_form(content_type: str, body: bytes) -> dict[str, Any]:
    """Fields by name: texts, or `filename`, `content_type` and `body` of files; a list where a name repeats."""
    document = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    form: dict[str, Any] = {}
    for part in cast("list[Message]", BytesParser(policy=HTTP).parsebytes(document).get_payload()):
        name = str(part.get_param("name", header="content-disposition"))
        value = _value(part)
        if name in form:
            value = [*(form[name] if isinstance(form[name], list) else [form[name]]), value]
        form[name] = value
    return form


def _value(part: Message) -> Any:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    filename = part.get_filename()
    if filename is None:
        return payload.decode()
    return {"filename": filename, "content_type": part.get_content_type(), "body": _text(payload)}


def _text(payload: bytes) -> str | bytes:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload
