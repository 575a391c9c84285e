"""Every golden case through a processor, as Envoy would play it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from processor.wire.json import decode, encode
from tests.extproc.conftest import KEY
from tests.extproc.envoy import Envoy, answer, mutations
from tests.support.golden import GoldenCase, golden_cases

CASES = [case for case in golden_cases() if case.vendor != "self_hosted"]


def pieces(body: bytes, size: int = 97) -> Iterator[bytes]:
    """A body cut where no framing cares."""
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_case_through_the_processor(envoy: Envoy, case: GoldenCase) -> None:
    request_id = str(uuid.uuid4())
    asked = encode({**case.request, "model": f"{case.vendor}/{case.model}"})
    headers, refused, _ = await envoy.ask(request_id, asked, {"authorization": f"Bearer {KEY}"})
    assert refused is None
    assert headers["x-gateway-cluster"] == f"direct/{case.vendor}"
    stream, message = await envoy.attempt(request_id, 1, case.vendor)
    sent = message.request_headers.response
    assert decode(sent.body_mutation.body) == case.upstream.body
    head = mutations(sent.header_mutation)
    assert head[":path"] == case.upstream.path
    assert case.upstream.headers.items() <= head.items()
    assert "sk-vendor" in "".join(head.values())
    got = await answer(stream, case.answer.status, {"content-type": case.answer.content_type}, pieces(case.answer.body))
    assert got.ended
    facts = got.metadata["gateway"]
    if case.error is not None:
        assert (got.status, json.loads(got.body)["error"]["code"]) == (case.error.status, case.error.code)
        assert (facts["error"], facts["usage_source"]) == (case.error.code, "none")
        return
    assert (got.status, got.body) == (200, case.client)
    counted = case.usage is not None
    assert facts["usage_source"] == ("provider" if counted else "estimated")
    if case.usage is not None:
        assert (facts["input_tokens"], facts["output_tokens"]) == (case.usage.input_tokens, case.usage.output_tokens)
        assert facts["cached_input_tokens"] == case.usage.cached_input_tokens
        assert facts["reasoning_tokens"] == case.usage.reasoning_tokens
