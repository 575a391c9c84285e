"""Every golden case through a processor, as Envoy would play it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from processor.domain import Operation
from processor.endpoints import endpoint_of
from processor.policy.estimate import GENERATING, READING
from processor.wire.json import decode
from tests.extproc.conftest import KEY, ScriptedCaller
from tests.extproc.envoy import Answer, Envoy, answer, mutations
from tests.support.forms import read_form
from tests.support.golden import GoldenCase, golden_cases, written_request


def pieces(body: bytes) -> Iterator[bytes]:
    """A body cut where no framing cares."""
    size = max(97, len(body) // 64)
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("case", golden_cases(), ids=str)
async def test_a_case_through_the_processor(envoy: Envoy, caller: ScriptedCaller, case: GoldenCase) -> None:
    request_id = str(uuid.uuid4())
    path = f"/v1{endpoint_of(case.operation).path}"
    content_type, asked = written_request(case, model=f"{case.provider}/{case.model}")
    caller.left = list(case.then)
    credentials = {"authorization": f"Bearer {KEY}", "content-type": content_type}
    headers, refused, _ = await envoy.ask(request_id, asked, credentials, path=path)
    assert refused is None
    assert headers["x-gateway-cluster"] == f"route/{case.provider}"
    stream, message = await envoy.attempt(request_id, 1, case.provider, path=path)
    sent = message.request_headers.response
    head = mutations(sent.header_mutation)
    check_sent(case, sent.body_mutation.body, head)
    got = await answer(stream, case.answer.status, {"content-type": case.answer.content_type}, pieces(case.answer.body))
    assert got.ended
    assert not caller.left, "every call of the case is made"
    check_answer(case, got)


def check_sent(case: GoldenCase, body: bytes, head: dict[str, str]) -> None:
    expected = case.upstream
    assert (head[":method"], head[":path"]) == (expected.method, expected.path)
    assert expected.headers.items() <= head.items()
    if expected.form is not None:
        assert read_form(head["content-type"], body) == expected.form
    else:
        assert (decode(body) if body else None) == expected.body
    if not case.provider.startswith("golden-"):
        assert "sk-vendor" in "".join(head.values())


def check_answer(case: GoldenCase, got: Answer) -> None:
    facts: dict[str, Any] = got.metadata["gateway"]
    if case.error is not None:
        told = json.loads(got.body)["error"]
        expected = case.error.to_client(case.provider)
        assert got.status == expected.status
        assert told["message"] == expected.message
        if case.operation is not Operation.MESSAGES:  # Anthropic's errors have no code
            assert told["code"] == expected.code
        assert (facts["error"], facts["usage_source"]) == (expected.code, "none")
        return
    assert got.status == 200
    assert case.client_pattern().fullmatch(got.body), got.body
    if case.usage is None:
        assert facts["usage_source"] == ("estimated" if case.operation in GENERATING | READING else "none")
    else:
        assert facts["usage_source"] == "provider"
        assert (facts["input_tokens"], facts["output_tokens"]) == (case.usage.input_tokens, case.usage.output_tokens)
        assert facts["cached_input_tokens"] == case.usage.cached_input_tokens
        assert facts["reasoning_tokens"] == case.usage.reasoning_tokens
