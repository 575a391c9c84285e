from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.anthropic_schema import closed

TEXT = {"type": "string"}


def test_every_object_is_closed_and_nothing_else_is_lost() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "T",
        "$defs": {"item": {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}},
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            "or": {"oneOf": [{"type": "null"}, {"type": ["object", "null"], "properties": {"b": TEXT}}]},
            "when": {"type": "string", "format": "date-time", "default": "now"},
        },
    }
    assert closed(schema) == {
        "title": "T",
        "$defs": {
            "item": {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False}
        },
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            "or": {
                "anyOf": [
                    {"type": "null"},
                    {"type": ["object", "null"], "properties": {"b": TEXT}, "additionalProperties": False},
                ]
            },
            "when": {"type": "string", "format": "date-time"},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "description"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "minimum: 1; maximum: 9"),
        ({"type": "string", "description": "A code.", "pattern": "^[A-Z]$"}, 'A code.\n\npattern: "^[A-Z]$"'),
        ({"type": "string", "format": "phone"}, 'format: "phone"'),
        ({"type": "array", "items": TEXT, "minItems": 2}, "minItems: 2"),
    ],
)
def test_a_bound_is_told_in_words(schema: dict[str, Any], description: str) -> None:
    found = closed(schema)
    assert found is not None
    assert found["description"] == description
    assert not found.keys() & {"minimum", "maximum", "pattern", "format", "minItems"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
        {"type": "object", "additionalProperties": TEXT},
        {"type": "array", "items": {}},
        {"type": "array", "items": True},
        {"anyOf": [TEXT, {"type": ["object", "string"]}]},
        {"type": "object", "properties": {"a": {"description": "anything"}}},
    ],
)
def test_a_schema_that_leaves_an_object_open_has_no_closed_form(schema: dict[str, Any]) -> None:
    assert closed(schema) is None


def test_an_object_without_properties_is_closed_if_it_says_so() -> None:
    schema = {"type": "object", "additionalProperties": False}
    assert closed(schema) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_schema_nested_without_end_has_no_closed_form() -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    assert closed(schema) is None


_leaves = st.sampled_from([TEXT, {"type": "integer", "minimum": 0}, {"enum": ["a", 1]}, {"const": "c"}])
_schemas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda several: {"anyOf": several}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda inside: {"type": "object", "properties": inside, "required": list(inside)},
            st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=8,
)


@given(schema=_schemas)
@settings(max_examples=200, deadline=None)
def test_closing_a_closed_schema_changes_nothing(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    once = closed(schema)
    assert once is not None
    assert closed(once) == once
    assert schema == before
