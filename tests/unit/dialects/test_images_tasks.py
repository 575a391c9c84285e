from __future__ import annotations

import json
from typing import Any

import pytest

from processor.dialects.base import ClientResponse, Pending, UpstreamRequest
from processor.dialects.images_dashscope import DashScopeImages
from processor.dialects.images_request import Counts
from processor.dialects.images_tasks import Patience
from processor.dialects.images_tencent import TencentImages
from processor.errors import UpstreamError, UpstreamProtocolError, UpstreamUnavailable
from processor.wire.json import decode, raw
from tests.support.asked import asked

DASHSCOPE = DashScopeImages(tasks=("*",), counts=Counts(most=(("*", 1),)), patience=Patience(waits=(1, 2, 5), limit=20))
TOKENHUB = TencentImages(patience=Patience(waits=(1,), limit=2))

REQUEST = asked({"prompt": raw("a fox")})


def task(status: str, name: str = "t-1", **more: Any) -> bytes:
    return json.dumps({"output": {"task_id": name, "task_status": status, **more}, "request_id": "q"}).encode()


def done(name: str) -> bytes:
    return task("SUCCEEDED", name, results=[{"url": f"https://example.com/{name}.png"}])


def pending(answer: ClientResponse | Pending) -> Pending:
    assert isinstance(answer, Pending)
    return answer


def test_the_waits_grow_and_the_limit_ends_them_with_504() -> None:
    waits = []
    answer = pending(DASHSCOPE.response(task("PENDING"), REQUEST))
    for _ in range(4):
        waits.append(answer.wait)
        answer = pending(answer.then((task("RUNNING"),)))
    assert [*waits, answer.wait] == [1, 2, 5, 5, 5]
    with pytest.raises(UpstreamUnavailable) as ended:
        answer.then((task("RUNNING"),))
    assert (ended.value.status, ended.value.code) == (504, "task_timeout")
    assert ended.value.message == "The vendor's task did not finish within 20 seconds."


def test_a_task_that_is_done_in_the_last_moment_is_done() -> None:
    answer = pending(DASHSCOPE.response(task("PENDING"), REQUEST))
    for _ in range(4):
        answer = pending(answer.then((task("RUNNING"),)))
    assert isinstance(answer.then((done("t-1"),)), ClientResponse)


def test_a_task_is_given_ten_minutes_and_asked_about_every_five_seconds_in_the_end() -> None:
    patience = DashScopeImages().patience
    assert (patience.limit, [patience.wait(number) for number in (0, 1, 4, 50)]) == (600, [1, 2, 5, 5])


def test_only_the_tasks_that_are_not_done_are_asked_about_and_the_pictures_keep_their_order() -> None:
    request = asked({"prompt": raw("a fox"), "n": raw(3)})
    orders = pending(DASHSCOPE.response(task("PENDING", "t-1"), request))
    assert [call.path for call in orders.calls if isinstance(call, UpstreamRequest)] == [
        DASHSCOPE.request(request).path
    ] * 2
    assert orders.wait == 0
    first = pending(orders.then((task("PENDING", "t/2"), task("PENDING", "t-3"))))
    assert first.calls == tuple(
        UpstreamRequest(path=f"/api/v1/tasks/{name}", method="GET") for name in ("t-1", "t%2F2", "t-3")
    )
    second = pending(first.then((task("RUNNING", "t-1"), done("t-2"), task("SUSPENDED", "t-3"))))
    assert second.calls == (first.calls[0], first.calls[2])
    third = pending(second.then((done("t-1"), task("RUNNING", "t-3"))))
    answer = third.then((done("t-3"),))
    assert isinstance(answer, ClientResponse)
    assert [entry["url"] for entry in decode(answer.body)["data"]] == [
        f"https://example.com/t-{number}.png" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("answer", "status", "code", "message"),
    [
        (
            task("FAILED", code="InternalError.Timeout", message="An internal timeout."),
            504,
            "InternalError.Timeout",
            "An i",
        ),
        (task("FAILED", code="InvalidParameter", message="n is wrong"), 400, "InvalidParameter", "n is wrong"),
        (task("FAILED"), 502, "task_failed", "The vendor's task failed."),
        (task("CANCELED"), 502, "task_canceled", "The vendor canceled the task."),
        (task("UNKNOWN"), 502, "task_unknown", "The vendor no longer knows the task."),
        (b'{"code":"InvalidApiKey","message":"Invalid API-key provided."}', 401, "InvalidApiKey", "Invalid API-key"),
        (b"{}", 502, "upstream_protocol_error", "The vendor's answer holds no task."),
        (b"", 502, "upstream_protocol_error", "The vendor's answer is not JSON"),
        (task("SUCCEEDED", results=[]), 502, "no_image", "The vendor's answer holds no image."),
        (
            task("SUCCEEDED", results=[{"code": "DataInspectionFailed", "message": "inappropriate"}]),
            400,
            "DataInspectionFailed",
            "inappropriate",
        ),
    ],
)
def test_a_task_that_fails_says_why(answer: bytes, status: int, code: str, message: str) -> None:
    with pytest.raises(UpstreamError) as failed:
        pending(DASHSCOPE.response(task("PENDING"), REQUEST)).then((answer,))
    assert (failed.value.status, failed.value.code) == (status, code)
    assert failed.value.message.startswith(message)


@pytest.mark.parametrize("order", [b"{}", task("PENDING", ""), b'{"output":{"task_status":"PENDING"}}'])
def test_an_order_without_a_task_is_the_vendors_mistake(order: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        DASHSCOPE.response(order, REQUEST)


@pytest.mark.parametrize("order", [b'{"id":"j","request_id":"r"}', b'{"job_id":"j","status":"queued"}'])
@pytest.mark.parametrize("working", ["queued", "processing", "PROCESSING", "1", "2"])
@pytest.mark.parametrize("finished", ["completed", "5"])
def test_tokenhubs_answers_need_not_repeat_the_tasks_id(order: bytes, working: str, finished: str) -> None:
    first = pending(TOKENHUB.response(order, REQUEST))
    assert [decode(call.body) for call in first.calls if isinstance(call, UpstreamRequest)] == [
        {"model": "m", "id": "j"}
    ]
    second = pending(first.then((b'{"status":"%s"}' % working.encode(),)))
    assert second.calls == first.calls
    answer = second.then((b'{"status":"%s","data":[{"url":"https://example.com/a.png"}]}' % finished.encode(),))
    assert isinstance(answer, ClientResponse)
    assert decode(answer.body) == {"created": 1790000000, "data": [{"url": "https://example.com/a.png"}]}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"status":"failed"}', "task_failed"),
        (b'{"status":"lost"}', "task_failed"),
        (b'{"status":"failed","error":{"code":"RiskDetection","message":"no"}}', "RiskDetection"),
        (b'{"status":"4","code":"OutputUnsafe","message":"no"}', "OutputUnsafe"),
    ],
)
def test_tokenhubs_failures_say_why(answer: bytes, code: str) -> None:
    with pytest.raises(UpstreamError) as failed:
        pending(TOKENHUB.response(b'{"id":"j"}', REQUEST)).then((answer,))
    assert failed.value.code == code


def test_tokenhubs_order_without_a_task_is_the_vendors_mistake() -> None:
    with pytest.raises(UpstreamProtocolError):
        TOKENHUB.response(b'{"request_id":"r"}', REQUEST)
