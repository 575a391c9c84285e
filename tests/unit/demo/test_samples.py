from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.demo.samples import sample
from processor.wire.json import encode

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["object", "array", "string", "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "required", "enum", "anyOf", "minimum", "format", "a"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "demo"),
        ({"type": "string", "format": "date"}, "2025-01-01"),
        ({"type": ["integer", "null"], "minimum": 5}, 5),
        ({"type": "boolean"}, True),
        ({"const": 3}, 3),
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"type": "integer", "default": 0}, 0),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, 1),
        ({"type": "array", "items": {"type": "string"}}, ["demo"]),
        ({"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}, {"a": "demo", "b": 1}),
        ({"type": "object", "properties": {"a": {}, "b": {"type": "integer"}}, "required": ["b"]}, {"b": 1}),
    ],
)
def test_a_sample_fits_its_schema(schema: object, value: object) -> None:
    assert sample(schema) == value


def test_a_schema_without_end_is_filled_to_a_depth() -> None:
    schema: dict[str, object] = {"type": "array"}
    schema["items"] = schema
    assert len(encode(sample(schema))) < 100


@given(JSON_VALUES)
def test_nonsense_for_a_schema_still_gives_json(schema: object) -> None:
    encode(sample(schema))
