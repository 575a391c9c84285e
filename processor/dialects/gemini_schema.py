"""JSON Schema to the OpenAPI 3.0 subset that Gemini's older models take, for tools and structured answers."""

from __future__ import annotations

from typing import Any

from processor.errors import MalformedRequest
from processor.wire.json import JSON

_NODES = 10_000
"""Schemas in one schema after its references are written out: nested references grow without bound."""

_AS_THEY_ARE = frozenset(
    {
        "default",
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
_STRING_FORMATS = frozenset({"enum", "date-time"})
"""The only formats of strings that do not make the API refuse a schema."""


def openapi(schema: JSON, *, param: str) -> JSON:
    """A schema in the subset: references written out, `const`, `oneOf`, `allOf` and type lists expressed otherwise.

    What the subset has no words for (`additionalProperties`, `$schema`, exclusive bounds) is left out: it only widens
    what is allowed.

    Raises:
        MalformedRequest: a reference that leads nowhere or to itself, or too many of them.
    """
    reader = _Reader(schema, param)
    try:
        return reader.read(schema, ())
    except RecursionError:
        raise reader.refused("is nested too deeply") from None


class _Reader:
    """Walks one schema, counting what it writes."""

    def __init__(self, root: JSON, param: str) -> None:
        self._root = root
        self._param = param
        self._nodes = 0

    def read(self, schema: Any, within: tuple[str, ...]) -> JSON:
        """One schema; `within` are the references being written out around it."""
        self._nodes += 1
        if self._nodes > _NODES:
            raise self.refused("is too large once its references are written out")
        if not isinstance(schema, dict):  # true: anything
            return {}
        if isinstance(name := schema.get("$ref"), str):
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self.read({**self._target(name, within), **beside}, (*within, name))
        schema = self._joined(schema, within)
        found = {name: value for name, value in schema.items() if name in _AS_THEY_ARE}
        self._read_inner(found, schema, within)
        _settle_type(found)
        _settle_values(found, schema)
        return found

    def _read_inner(self, found: JSON, schema: JSON, within: tuple[str, ...]) -> None:
        if isinstance(properties := schema.get("properties"), dict) and properties:
            found["properties"] = {name: self.read(value, within) for name, value in properties.items()}
        if "items" in schema:
            found["items"] = self.read(schema["items"], within)
        options = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(options, list):
            self._read_options(found, options, within)

    def _read_options(self, found: JSON, options: list[Any], within: tuple[str, ...]) -> None:
        """Alternatives; null among them is said by `nullable`, and a single one that is left stands for itself."""
        real = [option for option in options if not (isinstance(option, dict) and option.get("type") == "null")]
        if len(real) < len(options):
            found["nullable"] = True
        read = [self.read(option, within) for option in real]
        if len(read) == 1:
            for name, value in read[0].items():
                found.setdefault(name, value)
        elif read:
            found["anyOf"] = read

    def _joined(self, schema: JSON, within: tuple[str, ...]) -> JSON:
        """The schema with the parts of its `allOf` laid over each other."""
        if not isinstance(schema.get("allOf"), list):
            return schema
        joined: JSON = {}
        for part in [*schema["allOf"], {name: value for name, value in schema.items() if name != "allOf"}]:
            joined = _laid(self._followed(part, within), over=joined)
        return joined

    def _followed(self, part: Any, within: tuple[str, ...]) -> JSON:
        if not isinstance(part, dict):
            return {}
        if not isinstance(name := part.get("$ref"), str):
            return self._joined(part, within)
        return self._joined(self._target(name, within), (*within, name))

    def _target(self, name: str, within: tuple[str, ...]) -> JSON:
        if name in within:
            raise self.refused(f"refers to itself at `{name}`, which this model does not take")
        found: Any = self._root if name.startswith("#") else None
        for step in filter(None, name.lstrip("#").split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise self.refused(f"has no definition `{name}`")
        return found

    def refused(self, why: str) -> MalformedRequest:
        """The error for a schema that cannot be said."""
        return MalformedRequest(f"The schema of `{self._param}` {why}.", param=self._param)


def _laid(schema: JSON, *, over: JSON) -> JSON:
    """Two schemas that must both hold, as one: all properties of both."""
    joined = {**over, **schema}
    both = [part["properties"] for part in (over, schema) if isinstance(part.get("properties"), dict)]
    if both:
        joined["properties"] = {name: value for properties in both for name, value in properties.items()}
    names = [part["required"] for part in (over, schema) if isinstance(part.get("required"), list)]
    if names:
        joined["required"] = list(dict.fromkeys(name for some in names for name in some if isinstance(name, str)))
    return joined


def _settle_type(found: JSON) -> None:
    """`["string", "null"]` becomes a nullable string; of several real types each is an alternative."""
    kinds = found.get("type")
    if not isinstance(kinds, list):
        return
    del found["type"]
    if "null" in kinds:
        found["nullable"] = True
    real = [kind for kind in kinds if kind != "null"]
    if len(real) == 1:
        found["type"] = real[0]
    elif real:
        found["anyOf"] = [{"type": kind} for kind in real]


def _settle_values(found: JSON, schema: JSON) -> None:
    """Only strings are enumerated and only a few of their formats known."""
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if isinstance(values := found.get("enum"), list):
        strings = [value for value in values if isinstance(value, str)]
        if None in values:
            found["nullable"] = True
        if strings:
            found["enum"] = strings
            found.setdefault("type", "string")
        else:
            del found["enum"]
    if found.get("type") == "string" and str(found.get("format")) not in _STRING_FORMATS:
        found.pop("format", None)
