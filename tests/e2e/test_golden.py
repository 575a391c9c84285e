"""Every golden case through a real Envoy, to a vendor that answers with the case's bytes."""

from __future__ import annotations

import httpx
import pytest

from tests.support.fake_vendor import FakeVendor, Reply
from tests.support.gateway import VENDOR_KEY, Gateway
from tests.support.golden import GoldenCase, golden_cases

CASES = [case for case in golden_cases() if case.vendor != "self_hosted"]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_case_through_envoy(
    client: httpx.AsyncClient, gateway: Gateway, vendor: FakeVendor, case: GoldenCase
) -> None:
    headers = [("content-type", case.answer.content_type)]
    vendor.default = (
        Reply.stream([case.answer.body], status=case.answer.status, headers=headers)
        if case.answer.streamed
        else Reply.of(case.answer.body, status=case.answer.status, headers=headers)
    )
    asked = {**case.request, "model": f"{case.vendor}/{case.model}"}
    answer = await client.post("/v1/chat/completions", json=asked)
    sent = vendor.last
    assert sent.path == case.upstream.path
    assert sent.json() == case.upstream.body
    assert sent.header("authorization") == f"Bearer {VENDOR_KEY}"
    assert sent.header("content-length") == str(len(sent.body))
    assert gateway.key not in sent.head.decode()
    if case.error is not None:
        error = answer.json()["error"]
        told = (answer.status_code, error["type"], error["code"], error["message"], error["param"])
        expected = case.error
        assert told == (expected.status, expected.type, expected.code, expected.message, expected.param)
        return
    assert answer.status_code == 200
    assert answer.content == case.client
    assert answer.headers["x-gateway-target"] == f"{case.vendor}/{case.model}"
