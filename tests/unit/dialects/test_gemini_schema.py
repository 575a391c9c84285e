"""JSON Schema in the words of Gemini's older models."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.gemini_schema import openapi
from processor.errors import MalformedRequest
from processor.wire.json import JSON


def read(schema: JSON) -> JSON:
    return openapi(schema, param="tools[0]")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "number", "format": "double", "minimum": 0}, {"type": "number", "format": "double", "minimum": 0}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 1, "type": "integer"}, {"type": "integer"}),
        ({"enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}),
        ({"type": "object", "properties": {}, "additionalProperties": False}, {"type": "object"}),
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/a"},
                    {"properties": {"y": {"type": "string"}}, "required": ["y"]},
                ],
                "description": "both",
                "$defs": {"a": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
            },
            {
                "type": "object",
                "description": "both",
                "properties": {"x": {"type": "integer"}, "y": {"type": "string"}},
                "required": ["x", "y"],
            },
        ),
        (
            {
                "$ref": "#/definitions/a~1b",
                "description": "mine",
                "definitions": {"a/b": {"type": "string", "title": "A"}},
            },
            {"type": "string", "title": "A", "description": "mine"},
        ),
    ],
)
def test_a_schema_is_said_otherwise(schema: JSON, expected: JSON) -> None:
    assert read(schema) == expected


def test_a_definition_may_be_used_twice() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}},
        "$defs": {"n": {"type": "number"}},
    }
    assert read(schema) == {"properties": {"a": {"type": "number"}, "b": {"type": "number"}}}


def test_the_clients_schema_is_left_alone() -> None:
    schema = {"type": ["string", "null"], "enum": ["a", None]}
    read(schema)
    assert schema == {"type": ["string", "null"], "enum": ["a", None]}


def deep(levels: int) -> JSON:
    schema: JSON = {"type": "string"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def doubling(levels: int) -> JSON:
    """Definitions that each name the next one twice: small, until they are written out."""
    definitions = {
        f"d{at}": {"properties": {"a": {"$ref": f"#/$defs/d{at + 1}"}, "b": {"$ref": f"#/$defs/d{at + 1}"}}}
        for at in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"child": {"$ref": "#"}}, "$ref": "#"},
        {"properties": {"child": {"$ref": "#/$defs/node"}}, "$defs": {"node": {"items": {"$ref": "#/$defs/node"}}}},
        {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema.json"},
        deep(5000),
        doubling(20),
    ],
    ids=["root", "node", "allOf", "missing", "elsewhere", "deep", "doubling"],
)
def test_what_cannot_be_written_out_is_refused(schema: JSON) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(schema)
    assert refused.value.param == "tools[0]"


words = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "enum",
        "const",
        "format",
        "required",
        "#",
        "string",
    ]
)
junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | words | st.just("null") | st.just("#/properties/type"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=15,
)


@given(schema=st.dictionaries(words, junk, max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_schema_breaks_the_reader(schema: JSON) -> None:
    try:
        found = read(schema)
    except MalformedRequest:
        return
    assert not {"$ref", "allOf", "oneOf", "const", "additionalProperties"} & found.keys()
