"""A vendor's fault before the first content is made good by the next target, and the client never knows."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.fake_vendor import CLOSE, FakeVendor, Reply, chat_chunks, chat_reply, chat_stream
from tests.support.fake_vendor_openai import openai_error
from tests.support.gateway import VENDOR_KEY, Gateway, until

LOCAL = "/house/v1/chat/completions"
BACKUP = "/chat/completions"
ERROR = {"error": {"message": "overloaded", "type": "overloaded_error", "code": "overloaded"}}

FAULTS = {
    "a rejected key": openai_error(401, "who are you?"),
    "a bill": openai_error(402, "pay first"),
    "429": openai_error(429, "slow down", headers=[("retry-after", "1")]),
    "500": openai_error(500, "oops"),
    "503 with HTML": Reply.of(b"<html>busy</html>", status=503, headers=[("content-type", "text/html")]),
    "529": openai_error(529, "overloaded"),
    "a reset": Reply.reset(),
    "a hang-up": Reply.hang_up(),
    "an error inside a 200": Reply.json(ERROR),
    "not JSON": Reply.json("no answer at all").with_headers(),
}
STREAM_FAULTS = {
    **{name: fault for name, fault in FAULTS.items() if name != "not JSON"},
    "an error as first event": Reply.sse([ERROR]),
    "an error after the role": Reply.sse([{"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, ERROR]),
    "an end before content": Reply.sse([b": keep-alive\n\n"]),
}


def body(model: str, *, stream: bool) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_whole_answer_comes_from_the_next_target(
    client: httpx.AsyncClient, vendor: FakeVendor, fault: Reply
) -> None:
    vendor.script(LOCAL, fault)
    vendor.script(BACKUP, chat_reply("backup"))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=False))
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "backup"
    assert answer.headers["x-gateway-target"] == "deepseek/deepseek-chat"
    assert answer.headers["x-gateway-attempts"] == "3", "one at a dead host, one fault, one answer"


@pytest.mark.parametrize("fault", STREAM_FAULTS.values(), ids=STREAM_FAULTS)
async def test_a_stream_comes_from_the_next_target(client: httpx.AsyncClient, vendor: FakeVendor, fault: Reply) -> None:
    vendor.script(LOCAL, fault)
    vendor.script(BACKUP, chat_stream(["back", "up"]))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=True))
    assert answer.status_code == 200
    assert answer.text.count('"content":"back"') == 1
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "error" not in answer.text


async def test_a_vendor_silent_beyond_its_time_to_first_token_is_passed_over(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(LOCAL, Reply.head_only(headers=[("content-type", "text/event-stream")]))
    vendor.script(BACKUP, chat_stream(["backup"]))
    answer = await client.post("/v1/chat/completions", json=body("impatient", stream=True))
    assert answer.status_code == 200
    assert '"backup"' in answer.text
    assert answer.headers["x-gateway-attempts"] == "2"
    await vendor.wait_for_disconnects(1)


async def test_each_attempt_carries_only_its_own_credential_and_model(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(LOCAL, openai_error(503, "busy"))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=False))
    assert answer.status_code == 200
    first, second = vendor.requests
    assert (first.path, first.json()["model"], first.header("authorization")) == (LOCAL, "local", None)
    assert (second.path, second.json()["model"]) == (BACKUP, "deepseek-chat")
    assert second.header("authorization") == f"Bearer {VENDOR_KEY}"
    assert first.header("host") == second.header("host") == vendor.host


@pytest.mark.parametrize(("status", "code"), [(400, "context_length_exceeded"), (413, "too_large"), (422, "bad")])
async def test_what_another_target_cannot_make_good_is_told(
    client: httpx.AsyncClient, vendor: FakeVendor, status: int, code: str
) -> None:
    vendor.script(LOCAL, openai_error(status, "the vendor's own words", code=code))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=True))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["message"] == "the vendor's own words"
    assert answer.json()["error"]["code"] == code
    assert vendor.count == 1


async def test_a_vendor_that_takes_no_such_body_is_not_taken_for_the_gateway(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(LOCAL, Reply.of(status=413))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=False))
    assert answer.status_code == 413
    assert "this gateway" not in answer.json()["error"]["message"]


async def test_the_last_target_s_error_is_told_in_openai_s_shape(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(LOCAL, openai_error(500, "first"))
    vendor.script(BACKUP, Reply.text("<html>gone</html>", status=502))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=False))
    assert answer.status_code == 502
    assert "gone" in answer.json()["error"]["message"]
    assert len(answer.headers["x-request-id"]) == 36


async def test_a_host_that_nobody_answers_at_is_a_503_in_openai_s_shape(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    answer = await client.post("/v1/chat/completions", json=body("unreachable", stream=False))
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "upstream_unavailable"
    assert len(answer.headers["x-request-id"]) == 36
    assert vendor.count == 0


async def told_until_broken_off(client: httpx.AsyncClient, model: str = "house/m") -> str:
    """What a client reads of a stream that is broken off before its end."""
    told = bytearray()

    async def read() -> None:
        async with client.stream("POST", "/v1/chat/completions", json=body(model, stream=True)) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_bytes():
                told.extend(piece)

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    return told.decode()


async def test_an_error_after_content_is_told_in_the_stream_which_does_not_look_complete(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    content = {"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}
    vendor.script(LOCAL, Reply.sse([content, 0.05, ERROR]))
    told = await told_until_broken_off(client)
    assert '"half"' in told
    assert '"overloaded"' in told
    assert "[DONE]" not in told


async def test_a_stream_that_ends_before_its_finish_does_not_look_complete(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    content = {"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}
    vendor.script(LOCAL, Reply.sse([content, 0.1, CLOSE]), Reply.sse([content]))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/v1/chat/completions", json=body("house/m", stream=True))
    told = await told_until_broken_off(client)
    assert '"upstream_stream_cut"' in told
    assert "[DONE]" not in told


async def test_a_malformed_event_is_left_out_of_the_stream_and_told_in_the_record(
    client: httpx.AsyncClient, vendor: FakeVendor, gateway: Gateway
) -> None:
    role, first, *rest = chat_chunks(["one ", "two"])
    vendor.script(LOCAL, Reply.sse([b"data: {\n\n", role, first, b'data: {"choi\n\n', *rest, "[DONE]"]))
    answer = await client.post("/v1/chat/completions", json=body("house/m", stream=True))
    told = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert told.pop() == "[DONE]"
    said = [choice["delta"].get("content") or "" for event in told for choice in json.loads(event)["choices"]]
    assert "".join(said) == "one two"
    record = await gateway.record_of(answer)
    assert (record["malformed_events"], record["status"], record["error"]) == (2, 200, "")


async def test_a_stream_of_nothing_but_malformed_events_is_made_good_by_the_next_target(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(LOCAL, Reply.sse([b"data: {\n\n"] * 3))
    vendor.script(BACKUP, chat_stream(["back", "up"]))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=True))
    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "3")
    assert '"back"' in answer.text


async def test_a_stream_that_stalls_is_broken_off_and_the_vendor_let_go(
    client: httpx.AsyncClient, vendor: FakeVendor, gateway: Gateway
) -> None:
    vendor.script(LOCAL, Reply.sse([*chat_chunks(["half"])[:2], 60.0]))
    told = await told_until_broken_off(client, "impatient")
    assert '"half"' in told
    assert '"upstream_stalled"' in told
    await vendor.wait_for_disconnects(1)
    record = await until(
        lambda: next((found for found in gateway.records() if found["error"] == "upstream_stalled"), None),
        what="its record",
    )
    assert (record["error"], record["usage_source"]) == ("upstream_stalled", "partial")


async def test_failed_attempts_are_in_the_record(
    client: httpx.AsyncClient, vendor: FakeVendor, gateway: Gateway
) -> None:
    vendor.script(LOCAL, openai_error(529, "overloaded"))
    vendor.script(BACKUP, chat_reply("backup"))
    answer = await client.post("/v1/chat/completions", json=body("backed-up", stream=False))
    assert answer.status_code == 200
    record = await gateway.record_of(answer)
    nowhere, house = json.loads(record["failed_attempts"])
    assert nowhere == {"target": "nowhere/gone", "status": 0, "error": "upstream_unavailable"}
    assert (house["target"], house["status"], house["error"]) == ("house/local", 529, "error")
    assert house["ms"] > 0
    assert (record["provider"], record["attempts"], record["status"]) == ("deepseek", 3, 200)


async def test_a_lone_fault_is_made_good_by_the_same_target(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(BACKUP, openai_error(500, "oops"), chat_reply("again"))
    answer = await client.post("/v1/chat/completions", json=body("chat", stream=False))
    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")


async def test_nothing_is_sent_more_often_than_to_each_target_and_once_more(
    client: httpx.AsyncClient, vendor: FakeVendor, gateway: Gateway
) -> None:
    vendor.default = openai_error(503, "busy")
    answer = await client.post("/v1/chat/completions", json=body("chat", stream=False))
    assert answer.status_code == 503
    assert vendor.count == 1, "a busy vendor is not asked again at once"
    answer = await client.post(
        "/v1/chat/completions", json=body("backed-up", stream=False), headers={"x-envoy-max-retries": "9"}
    )
    assert answer.status_code == 503
    assert vendor.count == 3, "three targets, of which one is dead, have one each: three is all there are"
    assert gateway.process is not None
