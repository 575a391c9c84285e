"""Plausible values for a JSON schema: the arguments of a demo tool call, and structured output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from processor.wire.json import JSON

_DEPTH_LIMIT = 8
"""Levels that are filled in; a schema may refer to itself without end."""

_FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/demo",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: object, *, depth: int = 0) -> Any:
    """A value that fits `schema` as far as its types, enums and required properties go; None beyond them."""
    if not isinstance(schema, dict) or depth > _DEPTH_LIMIT:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return sample(schema[key][0], depth=depth + 1)
    make = _BY_TYPE.get(_type(schema))
    return make(schema, depth) if make else None


def _type(schema: JSON) -> str:
    """The schema's first type; an object when only its properties say so."""
    kind = schema.get("type", "object" if "properties" in schema else "")
    first = kind[0] if isinstance(kind, list) and kind else kind
    return first if isinstance(first, str) else ""


def _object(schema: JSON, depth: int) -> JSON:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = schema.get("required")
    wanted = required if isinstance(required, list) else properties
    names = [name for name in wanted if isinstance(name, str) and name in properties]
    return {name: sample(properties[name], depth=depth + 1) for name in names}


def _array(schema: JSON, depth: int) -> list[Any]:
    return [sample(schema["items"], depth=depth + 1)] if "items" in schema else []


def _string(schema: JSON, _depth: int) -> str:
    form = schema.get("format")
    return _FORMATS.get(form, "demo") if isinstance(form, str) else "demo"


def _number(schema: JSON, _depth: int) -> int | float:
    least = schema.get("minimum", 1)
    return least if isinstance(least, int | float) else 1


_BY_TYPE: dict[str, Callable[[JSON, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": lambda _schema, _depth: True,
}
