"""Every golden case through a real Envoy, to a vendor that answers with the case's bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from processor.domain import Operation
from processor.endpoints import endpoint_of
from processor.vendors import DIALECTS, VENDORS
from tests.support.fake_vendor import FakeVendor, Received, Reply
from tests.support.forms import read_form
from tests.support.gateway import VENDOR_KEY, Gateway
from tests.support.golden import GoldenAnswer, GoldenCall, GoldenCase, GoldenUpstream, golden_cases, written_request


@pytest.mark.parametrize("case", golden_cases(), ids=str)
async def test_a_case_through_envoy(
    client: httpx.AsyncClient, gateway: Gateway, vendor: FakeVendor, case: GoldenCase
) -> None:
    case = at_home(case, vendor.url)
    calls = list(case.then)
    first: list[Received] = []

    def answered(request: Received) -> Reply:
        if not first:
            first.append(request)
            return reply(case.answer)
        return reply(taken(calls, request).answer)

    vendor.default = answered
    content_type, body = written_request(case, model=f"{case.provider}/{case.model}")
    path = f"/v1{endpoint_of(case.operation).path}"
    answer = await client.post(path, content=body, headers={"content-type": content_type})
    check_sent(case, first[0], gateway)
    assert not calls, "every call of the case is made"
    if case.error is not None:
        check_error(case, answer)
        return
    assert answer.status_code == 200, answer.text
    assert case.client_pattern().fullmatch(answer.content), answer.content
    assert answer.headers["x-gateway-target"] == f"{case.provider}/{case.model}"


def at_home(case: GoldenCase, url: str) -> GoldenCase:
    """The case with every host it names at the scripted vendor."""
    hosts = {f"{(parts := urlsplit(call.fetch)).scheme}://{parts.netloc}" for call in case.then if call.fetch}

    def moved(body: bytes) -> bytes:
        for host in hosts:
            body = body.replace(host.encode(), url.encode())
        return body

    then = tuple(
        replace(
            call, fetch=moved(call.fetch.encode()).decode(), answer=replace(call.answer, body=moved(call.answer.body))
        )
        for call in case.then
    )
    client = case.client if case.client is None else moved(case.client)
    return replace(case, answer=replace(case.answer, body=moved(case.answer.body)), then=then, client=client)


def reply(answer: GoldenAnswer) -> Reply:
    headers = [("content-type", answer.content_type)]
    if answer.events:
        return Reply.stream([answer.body], status=answer.status, headers=headers)
    return Reply.of(answer.body, status=answer.status, headers=headers)


def taken(calls: list[GoldenCall], request: Received) -> GoldenCall:
    """The case's further call that a request is."""
    for call in calls:
        if call.upstream is None:
            fits = request.target == httpx.URL(call.fetch).raw_path.decode()
        else:
            fits = (request.method, request.target) == (call.upstream.method, call.upstream.path)
            fits = fits and (not request.body or request.json() == call.upstream.body)
        if fits:
            calls.remove(call)
            return call
    raise AssertionError(f"the case knows no call like {request.method} {request.target}")


def check_sent(case: GoldenCase, sent: Received, gateway: Gateway) -> None:
    expected: GoldenUpstream = case.upstream
    assert (sent.method, sent.target) == (expected.method, expected.path)
    for name, value in expected.headers.items():
        assert sent.header(name) == value
    if expected.form is not None:
        assert read_form(sent.header("content-type") or "", sent.body) == expected.form
    else:
        assert sent.json() == expected.body
    assert sent.header("content-length") == str(len(sent.body))
    assert gateway.key not in sent.head.decode()
    if case.vendor in VENDORS:
        assert VENDOR_KEY in sent.head.decode()
    else:
        assert case.dialect in DIALECTS


def check_error(case: GoldenCase, answer: httpx.Response) -> None:
    assert case.error is not None
    expected = case.error.to_client(case.provider)
    assert answer.status_code == expected.status
    error = json.loads(answer.content)["error"]
    if case.operation is Operation.MESSAGES:
        assert error["message"] == expected.message
        return
    told = (error["type"], error["code"], error["message"], error["param"])
    assert told == (expected.type, expected.code, expected.message, expected.param)
