"""The ext_proc conversation in process: one answer a message, held headers, deadlines, cut streams."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from processor import names
from tests.extproc.conftest import KEY, NARROW_KEY
from tests.extproc.envoy import Envoy, Stream, answer, collect
from tests.support.fake_vendor import chat_chunks, sse_event
from tests.support.gateway import until

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
BEARER = {"authorization": f"Bearer {KEY}"}


def body(model: str, *, stream: bool = True) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}).encode()


async def first_attempt(envoy: Envoy, model: str, provider: str, *, stream: bool = True) -> tuple[str, Stream]:
    request_id = str(uuid.uuid4())
    await envoy.ask(request_id, body(model, stream=stream), BEARER)
    opened, _ = await envoy.attempt(request_id, 1, provider)
    return request_id, opened


async def test_a_bad_key_is_refused_before_the_body_is_read(envoy: Envoy) -> None:
    stream = envoy.open(names.DOWNSTREAM_FILTER, "r1")
    headers = {":method": "POST", ":path": "/v1/chat/completions", "authorization": "Bearer no"}
    await stream.send_headers("request_headers", headers)
    message = await stream.receive()
    assert message is not None
    assert message.immediate_response.status.code == 401
    assert stream.metadata["gateway"]["error"] == "invalid_api_key"
    assert await stream.receive() is None


async def test_the_plan_picks_a_route_with_each_target_and_the_first_once_more(envoy: Envoy) -> None:
    headers, refused, metadata = await envoy.ask("r2", body("two"), BEARER)
    assert refused is None
    assert headers[names.CLUSTER_HEADER] == "route/deepseek+moonshot+deepseek"
    assert headers[names.MAX_RETRIES_HEADER] == "2"
    assert metadata["gateway"]["key"] == "tests"


@pytest.mark.parametrize(("model", "may"), [("deepseek-chat", True), ("deepseek/any", True), ("moonshot/any", False)])
async def test_a_pattern_holds_for_every_spelling_of_a_model(envoy: Envoy, model: str, *, may: bool) -> None:
    _, refused, metadata = await envoy.ask(str(uuid.uuid4()), body(model), {"x-api-key": NARROW_KEY})
    assert (refused is None) is may
    assert refused is None or refused.status == 403
    assert metadata["gateway"]["key"] == "narrow"


async def test_an_attempt_removes_what_the_client_sent_and_sets_its_own_credential(envoy: Envoy) -> None:
    request_id = str(uuid.uuid4())
    await envoy.ask(request_id, body("two"), BEARER)
    _, message = await envoy.attempt(request_id, 1, "deepseek")
    mutation = message.request_headers.response.header_mutation
    assert "cookie" in mutation.remove_headers
    assert "user-agent" not in mutation.remove_headers
    credentials = [o.header.raw_value for o in mutation.set_headers if o.header.key == "authorization"]
    assert credentials == [b"Bearer sk-vendor"]


@pytest.mark.parametrize(("number", "provider"), [(1, "openai"), (3, "moonshot"), (4, "deepseek"), (0, "deepseek")])
async def test_a_credential_never_goes_to_a_host_the_plan_did_not_mean(
    envoy: Envoy, number: int, provider: str
) -> None:
    request_id = str(uuid.uuid4())
    await envoy.ask(request_id, body("two"), BEARER)
    _, message = await envoy.attempt(request_id, number, provider)
    assert message.WhichOneof("response") == "immediate_response"
    assert b"sk-vendor" not in message.SerializeToString()


async def test_an_attempt_that_envoy_did_not_count_is_known_by_its_provider(envoy: Envoy) -> None:
    request_id = str(uuid.uuid4())
    await envoy.ask(request_id, body("two"), BEARER)
    _, message = await envoy.attempt(request_id, 1, "moonshot")
    assert json.loads(message.request_headers.response.body_mutation.body)["model"] == "b"
    _, message = await envoy.attempt(request_id, 2, "deepseek")
    assert json.loads(message.request_headers.response.body_mutation.body)["model"] == "a"


async def test_where_envoy_comes_to_a_place_again_the_same_target_is_asked_again(envoy: Envoy) -> None:
    request_id = str(uuid.uuid4())
    await envoy.ask(request_id, body("two"), BEARER)
    for number, provider, model in ((1, "moonshot", "b"), (2, "moonshot", "b"), (3, "deepseek", "a")):
        _, message = await envoy.attempt(request_id, number, provider)
        assert json.loads(message.request_headers.response.body_mutation.body)["model"] == model


async def test_a_request_the_ledger_has_lost_is_a_503(envoy: Envoy) -> None:
    _, message = await envoy.attempt("never planned", 1, "deepseek")
    assert message.immediate_response.status.code == 503
    assert b"request_lost" in message.immediate_response.body


async def test_headers_are_held_until_the_first_content(envoy: Envoy) -> None:
    _, stream = await first_attempt(envoy, "deepseek/x", "deepseek")
    role, text, *rest = map(sse_event, chat_chunks(["Hi"]))
    await stream.send_headers("response_headers", {":status": "200", **SSE})
    await stream.send_body("response_body", role, end=False)
    waiting = asyncio.create_task(stream.receive())
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    await stream.send_body("response_body", text, end=False)
    message = await waiting
    assert message is not None
    assert message.WhichOneof("response") == "response_headers"
    for event in rest:
        await stream.send_body("response_body", event, end=False)
    await stream.send_body("response_body", b"", end=True)
    got = b""
    while (message := await stream.receive()) is not None:
        got += message.response_body.response.body_mutation.streamed_response.body
    assert got.startswith(role + text)
    assert got.endswith(b"data: [DONE]\n\n")
    assert stream.metadata["gateway"]["usage_source"] == "provider"


async def test_the_deadline_passes_on_and_the_late_message_is_neither_lost_nor_doubled(envoy: Envoy) -> None:
    _, stream = await first_attempt(envoy, "two", "deepseek")
    await stream.send_headers("response_headers", {":status": "200", **SSE})
    message = await stream.receive()  # nothing was sent for 200 ms
    assert message is not None
    mutation = message.response_headers.response.header_mutation
    assert [o.header.raw_value for o in mutation.set_headers if o.header.key == ":status"] == [b"597"]
    (failed,) = json.loads(stream.metadata["gateway"]["failed_attempts"])
    assert failed["error"] == "upstream_timeout"
    nothing = await stream.receive()
    assert nothing is not None
    assert not nothing.response_body.response.body_mutation.streamed_response.body
    for event in map(sse_event, chat_chunks(["late"])):
        await stream.send_body("response_body", event, end=False)
    await stream.send_body("response_body", b"", end=True)
    last = await stream.receive()
    assert last is not None
    piece = last.response_body.response.body_mutation.streamed_response
    assert (piece.body, piece.end_of_stream) == (b"", True)
    assert await stream.receive() is None


async def test_a_message_that_comes_before_the_deadline_is_read_once(envoy: Envoy) -> None:
    _, stream = await first_attempt(envoy, "two", "deepseek")
    events = [sse_event(event) for event in chat_chunks([f"<{number}>" for number in range(50)])]
    await stream.send_headers("response_headers", {":status": "200", **SSE})
    await asyncio.sleep(0.1)
    for event in events:
        await stream.send_body("response_body", event, end=False)
    await stream.send_body("response_body", b"", end=True)
    got = await collect(stream, 200)
    assert [got.body.count(f"<{number}>".encode()) for number in range(50)] == [1] * 50


async def test_a_second_attempt_translates_from_the_original_again(envoy: Envoy) -> None:
    request_id, first = await first_attempt(envoy, "two", "deepseek", stream=False)
    refused = await answer(first, 503, JSON, [b'{"error":{"message":"busy"}}'])
    assert refused.status == names.RETRY_STATUS
    second, message = await envoy.attempt(request_id, 2, "moonshot")
    assert json.loads(message.request_headers.response.body_mutation.body)["model"] == "b"
    got = await answer(second, 200, JSON, [b'{"model":"m","choices":[],"usage":{"prompt_tokens":1}}'])
    assert got.headers["x-gateway-attempts"] == "2"
    assert "error" not in first.metadata["gateway"] | got.metadata["gateway"], (
        "nobody is told the failed attempt's error"
    )
    await envoy.over(request_id)
    _, lost = await envoy.attempt(request_id, 2, "moonshot")
    assert lost.immediate_response.status.code == 503, "the plan is freed when the request is over"


@pytest.mark.parametrize("status", [307, 408, 425, 499, 503, 520, 527, 529])
async def test_a_failed_attempt_is_told_with_the_vendor_s_own_status(envoy: Envoy, status: int) -> None:
    _, stream = await first_attempt(envoy, "two", "deepseek", stream=False)
    refused = await answer(stream, status, JSON, [b'{"error":{"message":"not now"}}'])
    assert refused.status == names.RETRY_STATUS
    (failed,) = json.loads(refused.metadata["gateway"]["failed_attempts"])
    assert (failed["target"], failed["status"]) == ("deepseek/a", status)


@pytest.mark.parametrize(("code", "status"), [("rate_limit", 429), ("strange", 502)])
async def test_of_an_error_inside_a_200_the_status_it_stands_for_is_told(envoy: Envoy, code: str, status: int) -> None:
    _, stream = await first_attempt(envoy, "two", "deepseek", stream=False)
    refused = await answer(stream, 200, JSON, [json.dumps({"error": {"message": "no", "code": code}}).encode()])
    (failed,) = json.loads(refused.metadata["gateway"]["failed_attempts"])
    assert (failed["status"], failed["error"]) == (status, code)


async def test_how_long_an_attempt_took_is_told_if_it_reached_us(envoy: Envoy) -> None:
    request_id, first = await first_attempt(envoy, "two", "deepseek", stream=False)
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0.05)
    # the second attempt found no connection
    third, _ = await envoy.attempt(request_id, 3, "deepseek")
    got = await answer(third, 200, JSON, [b'{"model":"m","choices":[]}'])
    reset, unreached = json.loads(got.metadata["gateway"]["failed_attempts"])
    assert 50 <= reset.pop("ms") < 5000
    assert reset == {"target": "deepseek/a", "status": 0, "error": "upstream_unavailable"}
    assert unreached == {"target": "moonshot/b", "status": 0, "error": "upstream_unavailable"}


async def test_trailers_end_a_body_too(envoy: Envoy) -> None:
    _, stream = await first_attempt(envoy, "deepseek/x", "deepseek", stream=False)
    await stream.send_headers("response_headers", {":status": "200", **JSON})
    await stream.send_body("response_body", b'{"model":"m","choices":[]}', end=False)
    await stream.send(response_trailers={})
    kinds = []
    while (message := await stream.receive()) is not None:
        kinds.append(message.WhichOneof("response"))
    assert kinds == ["response_headers", "response_body", "response_trailers"]


async def test_a_cut_stream_is_observed_as_partial(envoy: Envoy, observed: Path) -> None:
    request_id, stream = await first_attempt(envoy, "deepseek/x", "deepseek")
    await stream.send_headers("response_headers", {":status": "200", **SSE})
    for event in map(sse_event, chat_chunks(["word " * 20])[:2]):
        await stream.send_body("response_body", event, end=False)
    await stream.receive()
    stream.cancel()
    await envoy.over(request_id)
    line = await until(lambda: _line(observed, request_id), what="an observation")
    assert line["usage_source"] == "partial"
    assert line["output_tokens"] > 15


async def test_what_came_of_each_attempt_is_observed_once_where_none_was_answered(envoy: Envoy, observed: Path) -> None:
    request_id, first = await first_attempt(envoy, "two", "deepseek", stream=False)
    await answer(first, 529, JSON, [b'{"error":{"message":"busy","code":"busy"}}'])
    second, _ = await envoy.attempt(request_id, 2, "moonshot")
    second.cancel()
    await envoy.over(request_id)
    line = await until(lambda: _line(observed, request_id), what="an observation")
    assert _lines(observed, request_id) == [line]
    refused, reset = json.loads(line["failed_attempts"])
    assert (refused["target"], refused["status"], refused["error"]) == ("deepseek/a", 529, "busy")
    assert (reset["target"], reset["status"], reset["error"]) == ("moonshot/b", 0, "upstream_unavailable")
    assert (line["heard_attempts"], line["sent_input_tokens"] > 0) == (2, True)


async def test_of_a_request_that_was_answered_nothing_is_observed(envoy: Envoy, observed: Path) -> None:
    request_id, first = await first_attempt(envoy, "two", "deepseek", stream=False)
    first.cancel()
    second, _ = await envoy.attempt(request_id, 2, "moonshot")
    await answer(second, 200, JSON, [b'{"model":"m","choices":[],"usage":{"prompt_tokens":1}}'])
    await envoy.over(request_id)
    assert not _lines(observed, request_id)


async def test_a_stream_of_no_known_filter_is_refused(envoy: Envoy) -> None:
    stream = envoy.open("gateway.unknown", "r")
    with pytest.raises(Exception, match="UNIMPLEMENTED"):
        await stream.receive()


def _line(path: Path, request_id: str) -> dict[str, Any]:
    return next(iter(_lines(path, request_id)), {})


def _lines(path: Path, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["request_id"] == request_id]
