"""JSON Schema as Anthropic's structured outputs take it: closed objects, and bounds told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processor.wire.json import JSON, encode

_DEPTH = 64
"""Schemas within schemas."""

_KEPT = frozenset({"$ref", "allOf", "anyOf", "const", "description", "enum", "required", "title", "type"})
_INNER_MAPS = ("properties", "$defs", "definitions")
_INNER_LISTS = ("anyOf", "oneOf", "allOf")
_UNSAID = frozenset({"$comment", "$id", "$schema", "additionalProperties", "default", "examples", "strict"})
"""Which bind nobody."""

_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"},
)
_MOST_LEAST_ITEMS = 1


class _OpenSchemaError(Exception):
    """A schema whose objects may hold anything."""


def closed(schema: JSON) -> JSON | None:
    """A schema whose objects take no other properties, as Anthropic wants every one written; None for one that says
    that they may, since no grammar stands for that.

    Bounds that the grammar does not keep (`minimum`, `maxLength`, `pattern`) go to the description, for the model to
    read: docs.claude.com, structured outputs, JSON Schema limitations.
    """
    try:
        return _closed(schema, 0)
    except _OpenSchemaError:
        return None


def _closed(schema: Any, depth: int) -> JSON:
    if not isinstance(schema, dict) or depth > _DEPTH or _is_open(schema):
        raise _OpenSchemaError
    found = {name: value for name, value in schema.items() if name in _KEPT}
    for name in _INNER_MAPS:
        if isinstance(inner := schema.get(name), dict):
            found[name] = {key: _closed(value, depth + 1) for key, value in inner.items()}
    for name in _INNER_LISTS:
        if isinstance(several := schema.get(name), list):
            found["anyOf" if name == "oneOf" else name] = [_closed(value, depth + 1) for value in several]
    if "items" in schema:
        found["items"] = _closed(schema["items"], depth + 1)
    if "properties" in schema or _allows(schema, "object"):
        found = {**found, "properties": found.get("properties", {}), "additionalProperties": False}
    return _with_bounds(found, schema)


def _allows(schema: JSON, kind: str) -> bool:
    allowed = schema.get("type")
    return allowed == kind or (isinstance(allowed, list) and kind in allowed)


def _is_open(schema: JSON) -> bool:
    """Whether it stands for any value, or its objects for any property."""
    if not schema.keys() & {"$ref", "allOf", "anyOf", "const", "enum", "oneOf", "properties", "type"}:
        return True
    more = schema.get("additionalProperties")
    if more is not None:
        return more is not False
    return _allows(schema, "object") and not schema.get("properties")


def _with_bounds(found: JSON, schema: JSON) -> JSON:
    said: dict[str, Any] = {}
    for name, value in schema.items():
        if name in found or name in _UNSAID or name == "oneOf":
            continue
        if _keeps(name, value):
            found[name] = value
        else:
            said[name] = value
    if said:
        found["description"] = "\n\n".join(filter(None, (_text(found), _told(said))))
    return found


def _keeps(name: str, value: object) -> bool:
    if name == "format":
        return value in _FORMATS if isinstance(value, str) else False
    return name == "minItems" and isinstance(value, int) and value <= _MOST_LEAST_ITEMS


def _text(schema: Mapping[str, object]) -> str:
    text = schema.get("description")
    return text if isinstance(text, str) else ""


def _told(bounds: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {encode(value).decode()}" for name, value in bounds.items())
