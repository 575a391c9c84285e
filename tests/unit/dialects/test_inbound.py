from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from processor.dialects.base import Asked, ClientResponse, Fetch, Pending, UpstreamRequest
from processor.dialects.inbound import Over
from processor.dialects.openai_chat import OpenAIChat
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import Fields, decode, decode_fields, encode, raw
from tests.support.asked import asked

CHAT = OpenAIChat()
CHUNK = b'data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
COUNT = b'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}\n\n'
ANSWER = encode({"model": "m-1", "choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": 2}})


class Shouting:
    """An Inbound whose client asks with `shout`, and is answered in capitals."""

    def chat(self, asked: Asked) -> Fields:
        if "shout" not in asked.fields:
            raise MalformedRequest("`shout` is missing.", param="shout")
        return {"messages": raw([{"role": "user", "content": decode(asked.fields["shout"])}])}

    def answer(self, completion: bytes, asked: Asked) -> bytes:
        return completion.upper()

    def stream(self, asked: Asked) -> ShoutingStream:
        return ShoutingStream()


class ShoutingStream:
    def feed(self, chunk: bytes) -> bytes:
        return chunk.upper()

    def close(self) -> bytes:
        return b"END"


@dataclass(frozen=True)
class Answering(OpenAIChat):
    """A chat whose whole answer is given."""

    answer: Callable[[], ClientResponse | Pending] = lambda: ClientResponse(body=b"", usage=None, model="")

    def response(self, body: bytes, asked: Asked) -> Any:
        return self.answer()


def shout(**more: Any) -> Asked:
    return asked(decode_fields(b'{"shout":"Hello"}'), **more)


def test_the_request_reaches_the_vendor_as_its_chat() -> None:
    sent = Over(Shouting(), CHAT).request(shout())
    assert sent == UpstreamRequest(path="/v1/chat/completions", body=sent.body)
    assert decode(sent.body) == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_what_the_client_asks_wrongly_is_refused_before_the_chat_sees_it() -> None:
    with pytest.raises(MalformedRequest) as refused:
        Over(Shouting(), CHAT).request(asked())
    assert refused.value.param == "shout"


def test_a_whole_answer_is_told_in_the_clients_dialect_and_counted_by_the_chat() -> None:
    answer = Over(Shouting(), CHAT).response(ANSWER, shout())
    assert isinstance(answer, ClientResponse)
    assert (answer.body, answer.usage, answer.model) == (ANSWER.upper(), Usage(input_tokens=2), "m-1")


def test_an_answer_that_takes_more_calls_is_told_at_the_end_of_them() -> None:
    last = ClientResponse(body=b"done", usage=None, model="m-1")
    second = Pending(calls=(Fetch("https://b"),), then=lambda bodies: last, wait=2.0)
    first = Pending(calls=(Fetch("https://a"),), then=lambda bodies: second)
    over = Over(Shouting(), Answering(answer=lambda: first))
    answer = over.response(b"", shout())
    assert isinstance(answer, Pending)
    assert answer.calls == first.calls
    again = answer.then((b"",))
    assert isinstance(again, Pending)
    assert (again.calls, again.wait) == (second.calls, 2.0)
    told = again.then((b"",))
    assert isinstance(told, ClientResponse)
    assert (told.body, told.model) == (b"DONE", "m-1")


def test_what_the_vendor_refuses_inside_a_200_passes_through() -> None:
    body = b'{"error":{"message":"No.","code":"429"}}'
    over = Over(Shouting(), CHAT)
    with pytest.raises(UpstreamRefused, match=r"No\."):
        over.response(body, shout())
    with pytest.raises(UpstreamRefused, match=r"No\."):
        over.stream(shout(stream=True)).feed(b"data: " + body + b"\n\n")


def test_a_stream_shows_the_inbound_dialect_the_usage_that_the_client_did_not_ask_for() -> None:
    stream = Over(Shouting(), CHAT).stream(shout(stream=True, include_usage=False))
    assert (stream.usage, stream.model, stream.content_seen, stream.output_chars) == (None, "", False, 0)
    assert stream.content_type == "text/event-stream"
    assert stream.feed(CHUNK) == CHUNK.upper()
    assert (stream.model, stream.content_seen, stream.output_chars) == ("m-1", True, 2)
    told = stream.feed(LAST + COUNT) + stream.close()
    assert b'"COMPLETION_TOKENS":1' in told
    assert told.endswith(b"DATA: [DONE]\n\nEND")
    assert stream.usage == Usage(input_tokens=2, output_tokens=1)


def test_what_the_chat_leaves_out_is_counted_and_so_is_what_it_gives_up_at() -> None:
    stream = Over(Shouting(), CHAT).stream(shout(stream=True))
    assert stream.feed(CHUNK + b"data: {\n\n") == CHUNK.upper()
    assert stream.malformed == 1
    with pytest.raises(UpstreamProtocolError, match="More than 16"):
        stream.feed(b"data: {\n\n" * 16)
    assert stream.malformed == 17


def test_a_stream_that_is_cut_is_not_ended_for_the_client() -> None:
    stream = Over(Shouting(), CHAT).stream(shout(stream=True))
    stream.feed(CHUNK)
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert cut.value.code == "upstream_stream_cut"
