"""What a request needs, read off its JSON."""

from __future__ import annotations

import base64
import json

import pytest

from processor.domain import Feature
from processor.policy.needs import answer_tokens, features_needed, prompt_tokens
from processor.wire.json import decode_fields

PICTURE = "data:image/png;base64," + base64.b64encode(bytes(3000)).decode()


def fields(**body: object) -> dict[str, object]:
    return decode_fields(json.dumps(body).encode())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, set()),
        ({"messages": [], "tools": [{"type": "function"}]}, {Feature.TOOLS}),
        ({"messages": [], "tools": []}, set()),
        ({"messages": [], "tools": None}, set()),
        ({"messages": [], "functions": [{"name": "f"}]}, {Feature.TOOLS}),
        ({"messages": [], "response_format": {"type": "json_schema", "json_schema": {}}}, {Feature.STRUCTURED}),
        ({"messages": [], "response_format": {"type": "json_object"}}, set()),
        ({"input": "Hi", "text": {"format": {"type": "json_schema"}}}, {Feature.STRUCTURED}),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, {Feature.VISION}),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, {Feature.VISION}),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, {Feature.VISION}),
        ({"messages": [{"role": "user", "content": 'Say "image_url" and "image".'}]}, set()),
        ({"messages": [], "reasoning_effort": "high"}, set()),
    ],
)
def test_features_show_in_the_request(body: dict[str, object], needed: set[Feature]) -> None:
    assert features_needed(fields(**body)) == needed  # type: ignore[arg-type]


def test_a_prompt_counts_by_its_bytes_and_a_picture_by_the_piece() -> None:
    plain = json.dumps({"messages": [{"role": "user", "content": "x" * 4000}]}).encode()
    seen = json.dumps({"messages": [{"role": "user", "content": [{"image_url": {"url": PICTURE}}] * 2}]}).encode()
    assert 1000 <= prompt_tokens(plain) <= 1020
    assert 2 * 1000 <= prompt_tokens(seen) <= 2 * 1024 + 60


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, None),
        ({"max_tokens": 12}, 12),
        ({"max_completion_tokens": 7, "max_tokens": 12}, 7),
        ({"max_output_tokens": 9}, 9),
        ({"max_tokens": "many"}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 10**30}, None),
    ],
)
def test_the_answer_is_as_long_as_the_client_wants(body: dict[str, object], tokens: int | None) -> None:
    assert answer_tokens(fields(**body)) == tokens  # type: ignore[arg-type]
