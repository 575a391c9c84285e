from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.bedrock_converse import BedrockConverse
from processor.dialects.bedrock_stream import BedrockStream
from processor.domain import Usage
from processor.errors import UpstreamError, UpstreamProtocolError, UpstreamRefused
from processor.wire.eventstream import EventStreamDecoder, EventStreamMessage
from processor.wire.json import decode, decode_fields, encode
from processor.wire.sse import SSEDecoder
from tests.support.asked import asked
from tests.support.eventstream import encoded, message
from tests.support.golden import golden_cases
from tests.support.pieces import cut, places

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
START = {"type": "messageStart", "payload": {"role": "assistant"}}
HI = {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}}
STOP = {"type": "messageStop", "payload": {"stopReason": "end_turn"}}
METADATA = {
    "type": "metadata",
    "payload": {"metrics": {"latencyMs": 1}, "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}},
}
EVENTS = [
    one
    for case in golden_cases()
    if case.vendor == "bedrock" and case.streams and not case.refused
    for one in EventStreamDecoder().feed(case.answer.body)
    if one.text(":event-type")
]
_VALUE = re.compile(rb'(?<=:)("[^"]*"|[0-9]+|\{[^{}]*\})')


def stream(**fields: Any) -> BedrockStream:
    return BedrockConverse().stream(asked(decode_fields(encode(fields)), model=MODEL, stream=True))


def choices(body: bytes) -> list[dict[str, Any]]:
    events = [event.data for event in SSEDecoder().feed(body)]
    return [choice for data in events if data != b"[DONE]" for choice in decode(data)["choices"]]


def folded(body: bytes) -> dict[str, Any]:
    """The message a client puts together."""
    whole: dict[str, Any] = {"content": "", "reasoning_content": "", "reasoning_details": [], "tool_calls": []}
    for choice in choices(body):
        delta = choice["delta"]
        for name in ("content", "reasoning_content"):
            whole[name] += delta.get(name) or ""
        whole["reasoning_details"] += delta.get("reasoning_details", [])
        for piece in delta.get("tool_calls", ()):
            if "id" in piece:
                assert piece["index"] == len(whole["tool_calls"])
                whole["tool_calls"].append({"id": piece["id"], "name": piece["function"]["name"], "arguments": ""})
            whole["tool_calls"][piece["index"]]["arguments"] += piece["function"]["arguments"]
        whole["finish_reason"] = choice["finish_reason"]
    return whole


_texts = st.text(max_size=8)
_pieces = st.lists(_texts, min_size=1, max_size=4)
_blocks = st.lists(
    st.one_of(
        st.tuples(st.just("text"), _pieces),
        st.tuples(st.just("thinking"), _pieces),
        st.tuples(st.just("tool"), st.dictionaries(_texts, _texts, max_size=2)),
    ),
    max_size=5,
)


def told_whole(blocks: list[tuple[str, Any]]) -> bytes:
    content: list[dict[str, Any]] = []
    for number, (kind, held) in enumerate(blocks):
        if kind == "text":
            content.append({"text": "".join(held)})
        elif kind == "thinking":
            content.append({"reasoningContent": {"reasoningText": {"text": "".join(held), "signature": "s"}}})
        else:
            content.append({"toolUse": {"toolUseId": f"t{number}", "name": "f", "input": held}})
    return encode({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn"})


def told_in_events(blocks: list[tuple[str, Any]], at: list[int]) -> bytes:
    events: list[dict[str, Any]] = [START]
    for number, (kind, held) in enumerate(blocks):
        deltas: list[dict[str, Any]]
        if kind == "text":
            deltas = [{"text": piece} for piece in held]
        elif kind == "thinking":
            deltas = [{"reasoningContent": one} for one in (*({"text": piece} for piece in held), {"signature": "s"})]
        else:
            use = {"toolUse": {"toolUseId": f"t{number}", "name": "f"}}
            events.append({"type": "contentBlockStart", "payload": {"contentBlockIndex": number, "start": use}})
            text = encode(held).decode() if held else ""
            ends = sorted(place % (len(text) + 1) for place in at)
            pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
            deltas = [{"toolUse": {"input": piece}} for piece in pieces]
        events += [
            {"type": "contentBlockDelta", "payload": {"contentBlockIndex": number, "delta": delta}} for delta in deltas
        ]
        events.append({"type": "contentBlockStop", "payload": {"contentBlockIndex": number}})
    return encoded([*events, STOP, METADATA])


@given(blocks=_blocks, at=places, cuts=places)
@settings(max_examples=200, deadline=None)
def test_a_stream_tells_what_the_whole_answer_does(
    blocks: list[tuple[str, Any]], at: list[int], cuts: list[int]
) -> None:
    told = stream()
    got = folded(b"".join(map(told.feed, cut(told_in_events(blocks, at), cuts))) + told.close())
    choice = decode(BedrockConverse().response(told_whole(blocks), asked(model=MODEL)).body)["choices"][0]
    said = choice["message"]
    calls = [{"id": call["id"], **call["function"]} for call in said.get("tool_calls", ())]
    assert got == {
        "content": said["content"] or "",
        "reasoning_content": said.get("reasoning_content", ""),
        "reasoning_details": said.get("reasoning_details", []),
        "tool_calls": calls,
        "finish_reason": choice["finish_reason"],
    }
    assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
    assert told.usage == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_stream_without_its_stop_is_cut(length: int) -> None:
    told = stream()
    told.feed(encoded([START, HI][:length]))
    with pytest.raises(UpstreamProtocolError) as cut_short:
        told.close()
    assert cut_short.value.code == "upstream_stream_cut"


def test_a_stream_that_ends_within_its_counts_is_cut() -> None:
    told = stream()
    told.feed(encoded([START, HI, STOP, METADATA])[:-1])
    with pytest.raises(UpstreamProtocolError) as cut_short:
        told.close()
    assert cut_short.value.code == "upstream_stream_cut"


def test_a_stream_without_counts_ends_well() -> None:
    told = stream()
    out = told.feed(encoded([START, HI, STOP])) + told.close()
    assert out.endswith(b"data: [DONE]\n\n")
    assert told.usage is None
    assert told.output_chars == 2


def test_what_follows_the_counts_is_ignored() -> None:
    told = stream()
    first = told.feed(encoded([START, HI, STOP, METADATA]))
    assert told.feed(encoded([HI])) + told.close() == b""
    assert first.count(b"[DONE]") == 1


def test_events_and_pieces_of_a_later_day_are_passed_over() -> None:
    told = stream()
    later = [
        {"type": "weatherReport", "payload": {"wind": 3}},
        {"type": "contentBlockStart", "payload": {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}},
        {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"citation": {"title": "t"}}}},
        {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0}},
        {"type": "contentBlockStop", "payload": {"contentBlockIndex": 0}},
    ]
    assert told.feed(encoded(later)) == b""
    assert not told.content_seen


def test_content_is_seen_with_the_first_piece_and_not_before() -> None:
    told = stream()
    told.feed(encoded([START]))
    assert not told.content_seen
    told.feed(encoded([HI]))
    assert told.content_seen


@pytest.mark.parametrize(
    ("exception", "status", "kind"),
    [
        ("throttlingException", 429, "rate_limit_error"),
        ("validationException", 400, "invalid_request_error"),
        ("accessDeniedException", 403, "permission_error"),
        ("modelStreamErrorException", 424, "invalid_request_error"),
        ("internalServerException", 500, "server_error"),
        ("serviceUnavailableException", 503, "server_error"),
        ("ThrottlingException", 429, "rate_limit_error"),
        ("earthquakeException", 502, "server_error"),
    ],
)
def test_an_exception_in_the_stream_is_the_vendors_refusal(exception: str, status: int, kind: str) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        stream().feed(encoded([START, {"exception": exception, "payload": {"message": "No."}}]))
    error = refused.value
    assert (error.status, error.type, error.code, error.message) == (status, kind, exception, "No.")


def test_an_exception_without_a_message_is_told_by_its_name() -> None:
    with pytest.raises(UpstreamRefused, match="The vendor reported throttlingException"):
        stream().feed(encoded([{"exception": "throttlingException", "payload": "not JSON"}]))


def test_an_error_that_aws_has_not_modelled_is_told_by_its_headers() -> None:
    headers = {":message-type": "error", ":error-code": "ThrottlingException", ":error-message": "Slow down."}
    with pytest.raises(UpstreamRefused, match=r"Slow down\.") as refused:
        stream().feed(message(headers, b""))
    assert (refused.value.status, refused.value.code) == (429, "ThrottlingException")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "contentBlockDelta", "payload": "not JSON"},
        {"type": "contentBlockDelta", "payload": {"delta": {"text": 7}}},
    ],
)
def test_an_event_that_cannot_be_read_is_left_out(event: dict[str, Any]) -> None:
    told, sound = stream(), stream()
    assert told.feed(encoded([START, event])) == sound.feed(encoded([START]))
    assert told.malformed == 1


def test_the_arguments_of_no_call_break_the_protocol() -> None:
    piece = {"contentBlockIndex": 3, "delta": {"toolUse": {"input": "{"}}}
    with pytest.raises(UpstreamProtocolError, match="no call"):
        stream().feed(encoded([START, {"type": "contentBlockDelta", "payload": piece}]))


def test_endless_thinking_is_not_kept() -> None:
    told = stream()
    piece = {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "x" * 1_000_000}}}
    body = encoded([{"type": "contentBlockDelta", "payload": piece}])
    for _ in range(4):
        told.feed(body)
    with pytest.raises(UpstreamProtocolError, match="thinks more than"):
        told.feed(body)


@pytest.mark.parametrize("body", [b"[]", b"{", b"{}", b'{"output":7}', b'{"output":{"message":{"content":[7]}}}'])
def test_a_whole_answer_that_is_none_breaks_the_protocol(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        BedrockConverse().response(body, asked(model=MODEL))


def test_a_whole_answer_without_counts_is_measured() -> None:
    body = encode({"output": {"message": {"role": "assistant", "content": [{"text": "你"}]}}, "stopReason": "end_turn"})
    answer = BedrockConverse().response(body, asked(model=MODEL))
    assert (answer.usage, answer.output_chars) == (None, 3)


def test_a_tool_of_the_answers_name_is_a_tool_where_no_json_was_asked_for() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "answer_in_json", "input": {}}}
    body = encode({"output": {"message": {"role": "assistant", "content": [use]}}, "stopReason": "tool_use"})
    said = decode(BedrockConverse().response(body, asked(model=MODEL)).body)["choices"][0]["message"]
    assert said["tool_calls"][0]["function"]["name"] == "answer_in_json"


@given(place=st.integers(min_value=0), event=st.sampled_from(EVENTS), strange=st.sampled_from(["7", '"s"', "[]", "{}"]))
@settings(max_examples=300, deadline=None)
def test_a_damaged_event_is_the_vendors_failure_or_none(place: int, event: EventStreamMessage, strange: str) -> None:
    values = list(_VALUE.finditer(event.payload))
    value = values[place % len(values)]
    payload = event.payload[: value.start()] + strange.encode() + event.payload[value.end() :]
    damaged = {"type": event.text(":event-type"), "payload": payload.decode()}
    told = stream()
    failure: UpstreamError | None = None
    try:
        told.feed(encoded([START, damaged, STOP, METADATA]))
        told.close()
    except UpstreamError as error:
        failure = error
    assert failure is None or failure.message
