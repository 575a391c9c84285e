"""A client's body, read once: JSON, or a form with files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from processor.dialects.base import Upload
from processor.endpoints import Endpoint, Streams
from processor.errors import MalformedRequest, WireError
from processor.wire.json import Fields, JSONError, decode_fields, raw
from processor.wire.multipart import parse

_FORM = "multipart/form-data"
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBody:
    """What a body says."""

    fields: Fields
    uploads: tuple[Upload, ...]
    model: str
    stream: bool
    include_usage: bool


def read_body(body: bytes, content_type: str, endpoint: Endpoint) -> ReadBody:
    """Read and check what every vendor would need.

    Raises:
        MalformedRequest: it is neither JSON nor a form, or lacks what the endpoint requires.
    """
    uploads: tuple[Upload, ...] = ()
    if content_type[: len(_FORM)].lower() == _FORM:
        fields, uploads = _form(body, content_type, endpoint)
    else:
        fields = _json(body)
    _check_required(fields, endpoint)
    return ReadBody(
        fields=fields,
        uploads=uploads,
        model=_model_name(fields),
        stream=endpoint.streams is Streams.ALWAYS or (endpoint.streams is Streams.IF_ASKED and _streams(fields)),
        include_usage=_include_usage(fields),
    )


def _json(body: bytes) -> Fields:
    try:
        if not body.isascii():
            str(body, "utf-8")  # what is kept as bytes is forwarded unparsed, and must be text
        return decode_fields(body)
    except JSONError as error:
        raise MalformedRequest(f"The body is not a JSON object: {error}.", code="invalid_json") from None


def _form(body: bytes, content_type: str, endpoint: Endpoint) -> tuple[Fields, tuple[Upload, ...]]:
    if not endpoint.form:
        raise MalformedRequest(f"{endpoint.path} takes a JSON object, not a form.", code="invalid_content_type")
    try:
        texts, files = parse(content_type, body)
    except WireError as error:
        raise MalformedRequest(f"The form cannot be read: {error}.", code="invalid_form") from None
    uploads = tuple(
        Upload(name=file.name, filename=file.filename, content_type=file.content_type, body=file.body) for file in files
    )
    return _text_fields(texts), uploads


def _text_fields(texts: Iterable[tuple[str, str]]) -> Fields:
    """Text fields as JSON strings; of those that repeat (`timestamp_granularities[]`) a list."""
    values: dict[str, list[str]] = {}
    for name, text in texts:
        values.setdefault(name.removesuffix("[]"), []).append(text)
    repeated = {name.removesuffix("[]") for name, _ in texts if name.endswith("[]")}
    return {name: raw(found if name in repeated or len(found) > 1 else found[0]) for name, found in values.items()}


def _check_required(fields: Fields, endpoint: Endpoint) -> None:
    for name in endpoint.lists:
        if not _begins(fields.get(name), b"["):
            raise MalformedRequest(f"`{name}` must be a list.", param=name)
    for name in endpoint.required:
        if name not in fields or _begins(fields[name], b"null"):
            raise MalformedRequest(f"`{name}` is missing.", param=name, code="missing_parameter")


def _begins(value: msgspec.Raw | None, start: bytes) -> bool:
    """How a value's JSON begins; its content is the vendor's to judge."""
    return value is not None and bytes(memoryview(value)[: len(start)]) == start


def _model_name(fields: Fields) -> str:
    name = _value(fields, "model")
    if name is None:
        raise MalformedRequest("The body names no model.", param="model", code="missing_model")
    if not isinstance(name, str) or not name:
        raise MalformedRequest("`model` must be a string that is not empty.", param="model")
    return name


def _streams(fields: Fields) -> bool:
    value = _value(fields, "stream")
    if isinstance(value, str):  # in a form everything is text
        value = _TRUTH.get(value.lower(), value)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise MalformedRequest("`stream` must be true or false.", param="stream")


def _include_usage(fields: Fields) -> bool:
    options = _value(fields, "stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise MalformedRequest("`stream_options` must be an object.", param="stream_options")
    return options.get("include_usage") is True


def _value(fields: Fields, name: str) -> Any:
    found = fields.get(name)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found)
    except JSONError as error:
        raise MalformedRequest(f"`{name}` is not JSON: {error}.", param=name, code="invalid_json") from None
