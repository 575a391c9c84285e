"""What the pinned Envoy does, where the gateway relies on it or keeps out of its way."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
import websockets

from processor.extproc.grpc_connection import Stream
from processor.pb.external_processor_pb2 import ProcessingRequest
from tests.envoy.rig import MESSAGE_TIMEOUT, SMALL_BUFFER, Rig, follow, ignore, immediate, passing, replaced, setting
from tests.support.fake_vendor import Reply
from tests.support.gateway import until

ATTRIBUTES = "envoy.filters.http.ext_proc"


# --- messages and modes ---------------------------------------------------------------------------------------------


async def test_without_the_headers_message_later_header_mutations_are_lost(rig: Rig) -> None:
    async def mark(stream: Stream) -> None:
        while (message := await stream.read()) is not None:
            response = passing(message)
            if message.HasField("request_body"):
                setting(response.request_body.response, x_marked="yes")
            stream.write(response)

    rig.scripts |= {"buffered": mark, "skipping": mark}
    rig.first.default = Reply.of(b"ok")
    await rig.client.post("/buffered", content=b"body")
    assert rig.first.last.header("x-marked") == "yes"
    await rig.client.post("/skipping", content=b"body")
    assert rig.first.last.header("x-marked") is None


async def test_a_body_above_the_listener_s_buffer_is_a_413_and_one_below_comes_in_one_message(rig: Rig) -> None:
    sizes: list[int] = []

    async def measure(stream: Stream) -> None:
        while (message := await stream.read()) is not None:
            sizes.append(len(message.request_body.body))
            stream.write(passing(message))

    rig.scripts["buffered"] = measure
    rig.first.default = Reply.of(b"ok")
    assert (await rig.client.post("/buffered", content=bytes(5_000_000))).status_code == 200
    assert sizes == [0, 5_000_000], "above gRPC's own default of 4 MB"
    assert (await rig.client.post("/buffered", content=bytes(SMALL_BUFFER + 100_000))).status_code == 413


async def test_attempt_and_host_metadata_reach_the_upstream_filter_in_each_attempt(rig: Rig) -> None:
    seen: list[dict[str, Any]] = []

    async def look(stream: Stream) -> None:
        message = await stream.read()
        assert message is not None
        seen.append(dict(message.attributes[ATTRIBUTES].items()))
        stream.write(replaced(b"{}"))
        await follow(stream)

    rig.scripts["upstream"] = look
    rig.first.default, rig.second.default = Reply.of(b"no", status=503), Reply.of(b"ok")
    assert (await rig.client.post("/two", content=b"{}")).status_code == 200
    provider = "xds.upstream_host_metadata.filter_metadata['gateway']['provider']"
    assert [(item["upstream.request_attempt_count"], item[provider]) for item in seen] == [(1, "first"), (2, "second")]


async def test_continue_and_replace_drops_the_length_and_the_filter_behind_puts_it_back(rig: Rig) -> None:
    async def translate(stream: Stream) -> None:
        await stream.read()
        response = replaced(b"translated", _path="/vendor")
        response.dynamic_metadata.update({"gateway.wire": {"content_length": "10"}})
        stream.write(response)
        await follow(stream)

    rig.scripts["upstream"] = translate
    rig.first.default = Reply.of(b"ok")
    await rig.client.post("/chunked", content=b"original")
    assert rig.first.last.header("transfer-encoding") == "chunked"
    assert rig.first.last.body == b"translated"
    await rig.client.post("/one", content=b"original")
    assert rig.first.last.header("content-length") == "10"
    assert (rig.first.last.path, rig.first.last.body) == ("/vendor", b"translated")


async def test_held_response_headers_outlive_the_message_timeout(rig: Rig) -> None:
    async def hold(stream: Stream) -> None:
        request = await stream.read()
        assert request is not None
        stream.write(passing(request))
        headers = await stream.read()
        assert headers is not None
        await asyncio.sleep(MESSAGE_TIMEOUT * 2)
        stream.write(passing(headers))
        await follow(stream)

    rig.scripts["upstream"] = hold
    rig.first.default = Reply.of(b"ok")
    answer = await rig.client.post("/one", content=b"{}")
    assert (answer.status_code, answer.content) == (200, b"ok")


async def test_only_the_filters_a_route_names_see_its_requests(rig: Rig) -> None:
    rig.first.default = Reply.of(b"ok")
    await rig.client.post("/plain", content=b"{}")
    await rig.client.post("/buffered", content=b"{}")
    assert [name for _, name in rig.reached] == ["buffered"]


async def test_both_filters_and_every_retry_of_a_request_reach_the_same_process(rig: Rig) -> None:
    async def choose(stream: Stream) -> None:
        while (message := await stream.read()) is not None:
            response = passing(message)
            if message.HasField("request_body"):
                setting(response.request_body.response, x_cluster="dead-first", x_envoy_max_retries="1")
                response.request_body.response.clear_route_cache = True
            stream.write(response)

    rig.scripts["buffered"] = choose
    rig.first.default = Reply.of(b"ok")
    used = set()
    for number in range(20):
        rig.reached.clear()
        await rig.client.post("/by-header", content=b"{}", headers={"x-rid": f"id-{number}"})
        assert [name for _, name in rig.reached] == ["buffered", "upstream", "upstream"]
        assert len({socket for socket, _ in rig.reached}) == 1
        used.add(rig.reached[0][0])
    assert used == {0, 1}, "and different requests are spread"


# --- retries --------------------------------------------------------------------------------------------------------


async def test_a_status_changed_in_held_headers_is_retried_on_the_next_cluster(rig: Rig) -> None:
    rig.scripts["upstream"] = refusing_first
    rig.first.default, rig.second.default = Reply.of(b"bad"), Reply.of(b"good")
    answer = await rig.client.post("/two", content=b"{}")
    assert (answer.status_code, answer.content) == (200, b"good")
    assert (rig.first.count, rig.second.count) == (1, 1)


async def test_an_immediate_response_of_the_upstream_filter_is_not_retried(rig: Rig) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read()
        stream.write(immediate(503))

    rig.scripts["upstream"] = refuse
    assert (await rig.client.post("/two", content=b"{}")).status_code == 503
    assert rig.second.count == 0


async def test_the_second_attempt_sees_the_first_one_s_mutations(rig: Rig) -> None:
    """So a credential that is not overwritten or removed would reach the next vendor."""
    seen: list[dict[str, str]] = []

    async def sign(stream: Stream) -> None:
        message = await stream.read()
        assert message is not None
        headers = {h.key: h.raw_value.decode() for h in message.request_headers.headers.headers}
        seen.append(headers)
        number = len(seen)
        response = replaced(b"{}", **({"api_key": "first's"} if number == 1 else {"authorization": "second's"}))
        if number == 2:
            response.request_headers.response.header_mutation.remove_headers.append("api-key")
        stream.write(response)
        await (refusing if number == 1 else follow)(stream)

    rig.scripts["upstream"] = sign
    rig.first.default = rig.second.default = Reply.of(b"ok")
    assert (await rig.client.post("/two", content=b"{}")).status_code == 200
    assert "api-key" not in seen[0]
    assert seen[1]["api-key"] == "first's"
    assert rig.first.last.header("api-key") == "first's"
    assert rig.second.last.header("api-key") is None
    assert rig.second.last.header("authorization") == "second's"


async def test_an_attempt_beyond_the_list_finds_no_host(rig: Rig) -> None:
    rig.first.default = Reply.of(b"no", status=503)
    answer = await rig.client.post("/too-many", content=b"{}", headers={"x-test": "beyond"})
    assert answer.status_code == 503
    assert rig.first.count == 1
    assert "UH" in (await rig.log_line("beyond"))["flags"]


async def test_three_retries_at_once_are_all_that_envoy_allows_unless_told_otherwise(rig: Rig) -> None:
    async def load(path: str) -> int:
        answers = await asyncio.gather(*(rig.client.post(path, content=b"{}") for _ in range(40)))
        return sum(answer.status_code == 503 for answer in answers)

    rig.first.default = Reply.of(b"no", status=503)
    rig.second.default = Reply.of(b"ok").after(0.3)
    assert await load("/two") == 0
    assert await load("/limited") > 10


async def test_the_processor_s_max_retries_header_overrides_the_route(rig: Rig) -> None:
    async def choose(stream: Stream) -> None:
        message = await stream.read()
        assert message is not None
        response = passing(message)
        setting(response.request_headers.response, x_cluster="first-second", x_envoy_max_retries="1")
        response.request_headers.response.clear_route_cache = True
        stream.write(response)
        await follow(stream)

    rig.scripts["buffered"] = choose
    rig.first.default, rig.second.default = Reply.of(b"no", status=503), Reply.of(b"ok")
    assert (await rig.client.post("/by-header", content=b"{}")).content == b"ok"


# --- WebSocket ------------------------------------------------------------------------------------------------------


async def test_an_upgrade_hangs_behind_a_buffered_body_and_passes_behind_headers_only(rig: Rig) -> None:
    rig.first.default = Reply.websocket()
    async with websockets.connect(f"ws://127.0.0.1:{rig.port}/ws/headers") as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
    with pytest.raises(TimeoutError):
        async with websockets.connect(f"ws://127.0.0.1:{rig.port}/ws/buffered", open_timeout=1):
            pass


# --- observability mode ---------------------------------------------------------------------------------------------


async def test_an_observed_answer_waits_for_nobody_and_is_copied_as_it_was_sent(rig: Rig) -> None:
    copies: list[ProcessingRequest] = []
    ended = asyncio.Event()

    async def watch(stream: Stream) -> None:
        while (message := await stream.read()) is not None:
            copies.append(message)
            if message.response_body.end_of_stream:
                break
        ended.set()

    packed = gzip.compress(b"answer" * 100)
    rig.first.default = Reply.of(packed, headers=[("content-encoding", "gzip")])
    rig.scripts["observer"] = ignore
    assert (await rig.client.post("/observed", content=b"question")).text == "answer" * 100
    rig.scripts["observer"] = watch
    assert (await rig.client.post("/observed", content=b"question")).text == "answer" * 100
    await asyncio.wait_for(ended.wait(), 5)
    assert b"".join(message.request_body.body for message in copies) == b"question"
    assert b"".join(message.response_body.body for message in copies) == packed


async def test_an_observed_exchange_that_is_cut_ends_its_stream_only_after_the_deferred_close(rig: Rig) -> None:
    times: list[float] = []
    loop = asyncio.get_running_loop()

    async def watch(stream: Stream) -> None:
        while (message := await stream.read()) is not None:
            if message.HasField("response_body"):
                times.append(loop.time())
        times.append(loop.time())

    rig.scripts["observer"] = watch
    rig.first.default = Reply.sse([{"n": 1}, 30.0])
    async with rig.client.stream("POST", "/observed", content=b"{}") as answer:
        await anext(answer.aiter_bytes())
    await until(lambda: len(times) == 2, what="the stream's end")
    assert times[-1] - times[-2] > 0.9, "the second that the rig sets"


# --- local replies, cuts, the log -----------------------------------------------------------------------------------


async def test_envoy_s_own_answer_is_rewritten_and_the_processor_s_is_not(rig: Rig) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read()
        stream.write(immediate(404, b'{"mine":true}'))

    rig.scripts["buffered"] = refuse
    assert (await rig.client.get("/dead")).json() == {"error": {"code": "upstream_unavailable"}}
    assert (await rig.client.post("/buffered", content=b"{}")).json() == {"mine": True}


async def test_a_client_that_hangs_up_ends_the_stream_without_an_end_of_stream(rig: Rig) -> None:
    ended = asyncio.Event()
    ends: list[bool] = []

    async def account(stream: Stream) -> None:
        try:
            while (message := await stream.read()) is not None:
                ends.append(message.response_body.end_of_stream)
                stream.write(passing(message))
        finally:
            ended.set()

    rig.scripts["upstream"] = account
    rig.first.default = Reply.sse([{"n": 1}, 30.0])
    async with rig.client.stream("POST", "/one", content=b"{}", headers={"x-test": "hung up"}) as answer:
        await anext(answer.aiter_bytes())
    await asyncio.wait_for(ended.wait(), 5)
    assert not any(ends)
    assert (await rig.log_line("hung up"))["flags"] == "DC"
    await rig.first.wait_for_disconnects(1)


async def test_metadata_of_every_filter_and_of_an_immediate_response_is_in_the_log(rig: Rig) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read()
        response = immediate(401)
        response.dynamic_metadata.update({"gateway": {"error": "no key"}})
        stream.write(response)

    async def translate(stream: Stream) -> None:
        while (message := await stream.read()) is not None:
            last = message.response_body.end_of_stream
            facts = {"tokens": 7} if last else {"provider": "first"} if message.HasField("request_headers") else {}
            stream.write(passing(message, metadata={"gateway": facts} if facts else None))

    rig.scripts |= {"buffered": refuse, "upstream": translate}
    rig.first.default = Reply.of(b"ok")
    await rig.client.post("/buffered", content=b"{}", headers={"x-test": "refused"})
    await rig.client.post("/one", content=b"{}", headers={"x-test": "answered"})
    refused, answered = await rig.log_line("refused"), await rig.log_line("answered")
    assert (refused["gateway"], refused["details"]) == ({"error": "no key"}, "gateway")
    assert answered["gateway"] == {"provider": "first", "tokens": 7}


async def test_a_client_s_own_internal_headers_are_gone_before_the_first_filter(rig: Rig) -> None:
    rig.first.default = Reply.of(b"ok")
    await rig.client.get("/plain", headers={"x-gateway-request-id": "forged", "x-gateway-cluster": "forged"})
    assert rig.first.last.header("x-gateway-cluster") is None
    request_id = rig.first.last.header("x-gateway-request-id")
    assert request_id is not None
    assert len(request_id) == 36


async def test_a_processor_that_fails_a_translating_filter_fails_the_request(rig: Rig) -> None:
    async def fail(stream: Stream) -> None:
        await stream.read()
        stream.abort(13, "failed")

    rig.scripts["upstream"] = fail
    rig.first.default = Reply.of(b"untranslated")
    answer = await rig.client.post("/one", content=b"{}")
    assert answer.status_code >= 500
    assert b"untranslated" not in answer.content


async def refusing(stream: Stream) -> None:
    """Change the status of the held headers to 503, and let the rest pass."""
    while (message := await stream.read()) is not None:
        response = passing(message)
        if message.HasField("response_headers"):
            setting(response.response_headers.response, _status="503")
        stream.write(response)


async def refusing_first(stream: Stream) -> None:
    """Refuse what comes from the first vendor."""
    message = await stream.read()
    assert message is not None
    attempt = message.attributes[ATTRIBUTES]["upstream.request_attempt_count"]
    stream.write(passing(message))
    await (refusing if attempt == 1 else follow)(stream)
