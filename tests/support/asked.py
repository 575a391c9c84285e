"""Requests as translators are asked them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from processor.dialects.base import Asked, Upload
from processor.wire.json import Fields, decode_fields, encode
from tests.support.golden import NOW, REQUEST_ID, GoldenCase


def asked(fields: Fields | None = None, /, **more: Any) -> Asked:
    """A request for the model `m`, with the golden id and time."""
    return replace(Asked(fields=fields or {}, model="m", request_id=REQUEST_ID, now=NOW), **more)


def asked_by(case: GoldenCase) -> Asked:
    """The request of a golden case."""
    uploads = (
        Upload(name=file.name, filename=file.filename, content_type=file.content_type, body=file.body)
        for file in case.uploads
    )
    return asked(
        decode_fields(encode(case.request)),
        model=case.model,
        stream=case.streams,
        include_usage=case.include_usage,
        uploads=tuple(uploads),
    )
