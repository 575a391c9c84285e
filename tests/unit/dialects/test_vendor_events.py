"""An event of a vendor's stream that cannot be read is left out and counted, whatever the dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import StreamTranslator
from processor.dialects.vendor_events import MALFORMED_LIMIT
from processor.domain import Operation
from processor.errors import UpstreamProtocolError, UpstreamRefused, WireError
from processor.wire.json import decode, encode
from processor.wire.sse import DONE, EVENT_LIMIT, SSEDecoder
from tests.support.asked import asked_by
from tests.support.eventstream import encoded
from tests.support.golden import GoldenCase, golden_cases
from tests.support.pieces import bytewise, cut, places
from tests.support.translators import translator

CASES = [case for case in golden_cases() if case.streams and case.answer.events and case.client is not None]
"""Streams of events that end well."""

BROKEN_JSON = (b"{", b"nonsense", b"[1]", b'"text"', b'{"a":"\xff"}', b'{"choices":[{"delta":{"content":"a"}', b" ")
"""Data that no dialect can read. A field that nobody knows may be dropped, so the one that is not UTF-8 may be read."""
UNREADABLE = [data for data in BROKEN_JSON if b"\xff" not in data]


@dataclass(frozen=True, slots=True)
class Family:
    """A dialect's stream in its parts: what is said, and the last event, without which it is cut."""

    said: bytes
    last: bytes
    error: bytes

    def malformed(self, data: bytes) -> bytes:
        """An event of the family with this in the place of its data."""
        if self.said.startswith(b"\0"):
            return encoded([{"type": "contentBlockDelta", "payload": data.decode("latin-1")}])
        return b"data: " + data + b"\n\n"


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(_named(event) for event in events)


def _named(event: dict[str, Any]) -> bytes:
    head = b"event: " + event["type"].encode() + b"\n" if "type" in event else b""
    return head + b"data: " + encode(event) + b"\n\n"


def choice(content: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}]}


def candidate(text: str, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}, **more}]}


def dashscope(content: str, reason: str) -> dict[str, Any]:
    return {"output": {"choices": [{"message": {"content": content}, "finish_reason": reason}]}, "request_id": "q"}


ANTHROPIC = Family(
    sse(
        {"type": "message_start", "message": {"id": "a", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    ),
    sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}),
    sse({"type": "error", "error": {"type": "overloaded_error", "message": "No."}}),
)
FAMILIES = {
    (Operation.CHAT, "openai"): Family(
        sse(choice("Hi")), sse(choice("", "stop")), sse({"error": {"message": "No.", "code": "x"}})
    ),
    (Operation.CHAT, "anthropic"): ANTHROPIC,
    (Operation.CHAT, "gemini"): Family(
        sse(candidate("Hi")),
        sse(candidate("!", finishReason="STOP")),
        sse({"error": {"code": 503, "message": "No.", "status": "UNAVAILABLE"}}),
    ),
    (Operation.CHAT, "ali_native"): Family(
        sse(dashscope("Hi", "null")), sse(dashscope("", "stop")), sse({"code": "Throttling", "message": "No."})
    ),
    (Operation.CHAT, "bedrock"): Family(
        encoded([{"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}}]),
        encoded([{"type": "messageStop", "payload": {"stopReason": "end_turn"}}]),
        encoded([{"exception": "throttlingException", "payload": {"message": "No."}}]),
    ),
    (Operation.MESSAGES, "openai"): Family(
        sse(choice("Hi")), sse(choice("", "stop")), sse({"error": {"message": "No.", "code": "x"}})
    ),
    (Operation.RESPONSES, "openai"): Family(
        sse({"type": "response.output_text.delta", "delta": "Hi"}),
        sse({"type": "response.completed", "response": {"model": "m"}}),
        sse({"type": "error", "code": "server_error", "message": "No."}),
    ),
    (Operation.MESSAGES, "anthropic"): ANTHROPIC,
    (Operation.SPEECH, "ali"): Family(
        sse({"output": {"audio": {"data": "AAAA"}}}),
        sse({"output": {"finish_reason": "stop"}}),
        sse({"code": "Throttling", "message": "No."}),
    ),
    (Operation.SPEECH, "minimax"): Family(
        sse({"data": {"audio": "00ff", "status": 1}}),
        sse({"data": {"audio": "00ff", "status": 2}}),
        sse({"base_resp": {"status_code": 1002, "status_msg": "No."}}),
    ),
    (Operation.TRANSCRIPTION, "ali"): Family(
        sse(dashscope("Hi", "null")), sse(dashscope("", "stop")), sse({"code": "Throttling", "message": "No."})
    ),
}
"""By a golden file that has its translator."""
RELAYS = [(Operation.RESPONSES, "openai"), (Operation.MESSAGES, "anthropic")]
UNNAMED = ("gemini", "minimax", "bedrock")
"""Vendors that do not name their events, or not as SSE does."""
FORWARDERS = [(Operation.CHAT, "openai"), *RELAYS]

Named = tuple[Operation, str]
families = pytest.mark.parametrize("named", FAMILIES, ids=lambda named: f"{named[0]} {named[1]}")


def stream_of(named: Named) -> StreamTranslator:
    operation, vendor = named
    found = [case for case in CASES if (case.operation, case.vendor) == (operation, vendor)]
    return translator(found[0]).stream(asked_by(found[0]))


def played(stream: StreamTranslator, pieces: Iterator[bytes] | list[bytes]) -> bytes:
    return b"".join(map(stream.feed, pieces)) + stream.close()


def boundaries(case: GoldenCase) -> list[int]:
    """The places between the events of a case's stream, its beginning and its end included."""
    body = case.answer.body
    if not body.startswith(b"\0"):
        return [0, *accumulate(len(event.raw) for event in SSEDecoder().feed(body))]
    ends = [0]
    while ends[-1] < len(body):
        ends.append(ends[-1] + int.from_bytes(body[ends[-1] : ends[-1] + 4]))
    return ends


def malformed_for(case: GoldenCase) -> bytes:
    data = b'{"candidates": [{"content'
    kind = {"type": "contentBlockDelta", "payload": data.decode()}
    return encoded([kind]) if case.answer.body.startswith(b"\0") else b"data: " + data + b"\n\n"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_malformed_event_between_any_two_changes_nothing_but_the_count(case: GoldenCase) -> None:
    body, bad = case.answer.body, malformed_for(case)
    ends = boundaries(case)
    for place in ends:
        stream = translator(case).stream(asked_by(case))
        assert played(stream, [body[:place] + bad + body[place:]]) == case.client
        assert (stream.usage, stream.malformed - case.malformed) == (case.usage, 1) or place == ends[-1]
    middle = ends[len(ends) // 2]
    stream = translator(case).stream(asked_by(case))
    assert played(stream, bytewise(body[:middle] + bad + body[middle:])) == case.client


@families
@pytest.mark.parametrize("data", UNREADABLE)
def test_data_that_is_not_of_the_dialect_is_left_out(named: Named, data: bytes) -> None:
    family = FAMILIES[named]
    sound = played(stream_of(named), [family.said + family.said + family.last])
    for pieces in (lambda body: [body], bytewise):
        stream = stream_of(named)
        assert played(stream, pieces(family.said + family.malformed(data) + family.said + family.last)) == sound
        assert stream.malformed == 1


@families
def test_a_few_malformed_events_are_an_accident_and_more_are_none(named: Named) -> None:
    family, stream = FAMILIES[named], stream_of(named)
    bad = family.malformed(b"{")
    stream.feed(family.said)
    for _ in range(MALFORMED_LIMIT):
        assert stream.feed(bad) == b""
    with pytest.raises(UpstreamProtocolError, match="More than 16 events") as broken:
        stream.feed(bad)
    assert (broken.value.status, broken.value.code) == (502, "upstream_protocol_error")
    assert stream.malformed == MALFORMED_LIMIT + 1


@families
def test_malformed_events_alone_are_no_content_and_end_as_a_cut(named: Named) -> None:
    family, stream = FAMILIES[named], stream_of(named)
    assert stream.feed(family.malformed(b"{") * 3) == b""
    assert not stream.content_seen
    with pytest.raises(UpstreamProtocolError) as broken:
        stream.close()
    assert broken.value.code == "upstream_stream_cut"


@families
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "without its end"])
def test_a_stream_whose_last_event_is_malformed_is_cut(named: Named, whole: bool) -> None:
    family, stream = FAMILIES[named], stream_of(named)
    bad = family.malformed(b'{"choices":[{"finish_reason":"st')
    stream.feed(family.said + (bad if whole else bad[:-2]))
    with pytest.raises(UpstreamProtocolError) as broken:
        stream.close()
    assert broken.value.code == "upstream_stream_cut"


@families
def test_an_error_is_not_malformed(named: Named) -> None:
    family, stream = FAMILIES[named], stream_of(named)
    with pytest.raises(UpstreamRefused, match=r"No\."):
        stream.feed(family.malformed(b"{") + family.error)
    assert stream.malformed == 1


@pytest.mark.parametrize("named", [named for named in FAMILIES if named[1] not in UNNAMED])
@pytest.mark.parametrize("after", [True, False], ids=["after content", "before content"])
def test_an_event_named_error_is_one_even_if_it_cannot_be_read(named: Named, after: bool) -> None:
    stream = stream_of(named)
    stream.feed(FAMILIES[named].said if after else b": hello\n\n")
    with pytest.raises(UpstreamRefused):
        stream.feed(b"event: error\ndata: {overloaded\n\n")


def test_a_broken_frame_ends_the_stream() -> None:
    family = FAMILIES[Operation.CHAT, "bedrock"]
    damaged = family.said[:-1] + bytes([family.said[-1] ^ 1])
    with pytest.raises(WireError):
        stream_of((Operation.CHAT, "bedrock")).feed(family.said + damaged)


def test_an_event_without_end_ends_the_stream() -> None:
    stream = stream_of((Operation.CHAT, "openai"))
    with pytest.raises(WireError):
        stream.feed(b"data: " + b"x" * EVENT_LIMIT)


def test_thinking_whose_beginning_was_left_out_goes_on_and_keeps_its_signature() -> None:
    stream = stream_of((Operation.CHAT, "anthropic"))
    out = stream.feed(
        b'data: {"type":"content_block_start","index":0,"cont\n\n'
        + sse(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
            {"type": "content_block_stop", "index": 0},
        )
    )
    assert b'"reasoning_content":"Hm."' in out
    assert b'"signature":"sig"' in out
    assert stream.malformed == 1


def test_a_call_whose_beginning_was_left_out_breaks_the_protocol() -> None:
    stream = stream_of((Operation.CHAT, "anthropic"))
    delta = {"type": "input_json_delta", "partial_json": '{"city":'}
    stream.feed(b'data: {"type":"content_block_start","index":0,"cont\n\n')
    with pytest.raises(UpstreamProtocolError, match="a call that never began"):
        stream.feed(sse({"type": "content_block_delta", "index": 0, "delta": delta}))


@pytest.mark.parametrize("named", FORWARDERS)
def test_what_is_forwarded_is_utf_8_even_where_nobody_reads_it(named: Named) -> None:
    stream, said = stream_of(named), FAMILIES[named].said
    assert stream.feed(said.replace(b'"Hi"', b'"Hi","x":"\xff"')).find(b"\xff") < 0
    assert (stream.malformed, stream.usage) == (1, None)


def test_an_object_of_a_shape_we_do_not_know_is_relayed() -> None:
    stream = stream_of((Operation.MESSAGES, "anthropic"))
    odd = b'event: message_delta\ndata: {"type":"message_delta","delta":"none"}\n\n'
    assert stream.feed(odd) == odd
    assert stream.malformed == 0


_WRITTEN = st.sampled_from(
    [
        *(b"data: " + data + b"\n\n" for data in BROKEN_JSON),
        *(
            b"data:\n\n",
            b"data\n\n",
            b"event: ping\n\n",
            b": keep-alive\n\n",
            b"retry: 1\n\n",
            b"id: 1\n\n",
            b"data: {",
        ),
        *(b"data: {}\r\n\r\n", b"data: null\n\n", b'data: {\ndata: "choices":[]}\n\n', b"data: 1\ndata: 2\n\n"),
        *(family.said for name, family in FAMILIES.items() if name in FORWARDERS),
    ]
)


@given(named=st.sampled_from(FORWARDERS), written=st.lists(_WRITTEN, max_size=12), at=places)
@settings(max_examples=300, deadline=None)
def test_whatever_a_vendor_writes_its_clients_get_json_objects_alone(
    named: Named, written: list[bytes], at: list[int]
) -> None:
    out = b"".join(map(stream_of(named).feed, cut(b"".join(written), at)))
    for event in SSEDecoder().feed(out):
        if event.data:
            assert event.data + b"\n\n" == DONE.removeprefix(b"data: ") or isinstance(decode(event.data), dict)
        else:
            assert event.raw.startswith(b":")
