from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_fold import folded
from processor.dialects.openai_chat_repairs import FinishReasons, HoistUsage, Repair, ToolCalls
from processor.dialects.openai_chat_stream import OpenAIChatStream
from processor.domain import Usage
from processor.errors import UpstreamProtocolError, UpstreamRefused, WireError
from processor.wire.json import decode, encode
from processor.wire.sse import DONE, SSEDecoder
from tests.support.asked import asked

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
COUNTED = Usage(input_tokens=3, output_tokens=2)


def event(data: Any) -> bytes:
    return b"data: " + encode(data) + b"\n\n"


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return event(
        {"id": "1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **more}
    )


def stream(*repairs: Repair, include_usage: bool = False) -> OpenAIChatStream:
    return OpenAIChat(repairs=repairs).stream(asked(include_usage=include_usage))


TEXT = chunk({"content": "Hi"})
FINISH = chunk(finish="stop")
COUNT = event({"id": "1", "choices": [], "usage": USAGE})


def test_a_plain_chunk_is_the_vendors_own_bytes() -> None:
    written = b'id: 7\ndata: {"choices" : [{"delta":{"content":"caf\\u00e9"},"index":0}],"x":1.0}\n\n'
    assert stream().feed(written) == written


def test_comments_are_forwarded() -> None:
    assert stream().feed(b": keep-alive\n\n:\n: a\n\n") == b": keep-alive\n\n:\n: a\n\n"


@pytest.mark.parametrize("empty", [b"event: ping\n\n", b"data:\n\n", b"retry: 9\n\n", b": said\nid: 7\n\n"])
def test_an_event_without_data_which_clients_would_parse_is_not_forwarded(empty: bytes) -> None:
    told = stream()
    assert told.feed(TEXT + empty + FINISH) == TEXT + FINISH
    assert told.malformed == 0


@pytest.mark.parametrize("index", [b'"s"', b"-7", b"0.5"])
@pytest.mark.parametrize("place", [b'{"delta":{"content":"a"},"index":%b}', b'{"delta":{"tool_calls":[{"index":%b}]}}'])
def test_a_piece_without_a_place_is_not_folded_into_an_answer(place: bytes, index: bytes) -> None:
    strange = b'data: {"choices":[' + place % index + b"]}\n\n"
    assert folded(TEXT + strange + FINISH, stream()).body == folded(TEXT + FINISH, stream()).body


def test_crlf_line_ends_are_forwarded() -> None:
    written = TEXT.replace(b"\n", b"\r\n")
    assert stream().feed(written) + stream().feed(b"") == written


def test_an_event_may_take_several_lines_and_chunks() -> None:
    told = stream()
    assert told.feed(TEXT) == TEXT
    assert told.feed(b'data: {"choices":\n') == b""
    assert told.feed(b'data: [{"delta":{"content":"b"}}]}\n\n') == (
        b'data: {"choices":\ndata: [{"delta":{"content":"b"}}]}\n\n'
    )
    assert told.output_chars == 3


def test_a_chunk_may_hold_several_events() -> None:
    told = stream()
    assert told.feed(TEXT) == TEXT
    assert told.feed(TEXT + TEXT) == TEXT + TEXT
    assert told.output_chars == 6


def test_a_missing_done_is_supplied() -> None:
    told = stream()
    assert told.feed(TEXT + FINISH) == TEXT + FINISH
    assert told.close() == DONE


def test_nothing_is_sent_after_done() -> None:
    told = stream()
    assert told.feed(TEXT + DONE + TEXT) == TEXT + DONE
    assert told.feed(TEXT + b": bye\n\n") == b""
    assert told.close() == b""


def test_done_without_a_space_or_with_one_too_many_is_done() -> None:
    for written in (b"data:[DONE]\n\n", b"data: [DONE] \n\n", b"data: [DONE]\r\n\r\n", b"data: [DONE]\n"):
        told = stream()
        assert told.feed(TEXT + written) + told.close() == TEXT + DONE


@pytest.mark.parametrize(
    "sent", [b"", b": keep-alive\n\n", chunk({"role": "assistant"}), TEXT, TEXT[:20], TEXT + COUNT]
)
def test_a_stream_that_ends_before_its_finish_is_cut(sent: bytes) -> None:
    told = stream()
    told.feed(sent)
    with pytest.raises(UpstreamProtocolError) as cut:
        told.close()
    assert cut.value.code == "upstream_stream_cut"


def test_a_last_event_without_its_empty_line_is_completed() -> None:
    told = stream()
    assert told.feed(TEXT + FINISH.rstrip(b"\n")) == TEXT
    assert told.close() == FINISH + DONE


def test_a_last_comment_without_its_empty_line_does_not_swallow_done() -> None:
    told = stream()
    told.feed(FINISH + b": bye")
    assert told.close() == b": bye\n\n" + DONE


@pytest.mark.parametrize("broken", [b"data: {\n\n", b"data: hello\n\n", b'data: "hi"\n\n', b"data: [1]\n\n"])
def test_an_event_that_is_no_json_object_is_left_out(broken: bytes) -> None:
    told = stream()
    assert told.feed(TEXT + broken + FINISH) == TEXT + FINISH


def test_an_event_over_the_limit_is_refused() -> None:
    told = stream()
    with pytest.raises(WireError):
        told.feed(b"data: " + b"a" * (17 * 1024 * 1024))


@pytest.mark.parametrize(
    ("delta", "seen"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": None, "reasoning_content": ""}, False),
        ({"tool_calls": []}, False),
        ({"content": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"reasoning": "a"}, True),
        ({"refusal": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"audio": {"id": "a"}}, True),
        ({"content": [{"type": "thinking"}]}, True),
    ],
)
def test_content_is_what_a_client_can_use(delta: dict[str, Any], seen: bool) -> None:
    told = stream()
    told.feed(b": keep-alive\n\n" + chunk(delta))
    assert told.content_seen is seen


def test_a_finish_is_content() -> None:
    told = stream()
    told.feed(FINISH)
    assert told.content_seen


def test_the_model_is_the_first_the_vendor_names() -> None:
    told = stream()
    told.feed(event({"choices": []}) + TEXT + event({"choices": [], "model": "other"}))
    assert told.model == "m"


@given(
    texts=st.lists(st.text(max_size=20), max_size=10),
    reasoning=st.lists(st.text(max_size=20), max_size=10),
    arguments=st.lists(st.text(max_size=20), max_size=10),
)
def test_generated_text_is_counted_in_bytes(texts: list[str], reasoning: list[str], arguments: list[str]) -> None:
    told = stream()
    for text in reasoning:
        told.feed(chunk({"reasoning_content": text}, obfuscation="x" * 9))
    for text in texts:
        told.feed(chunk({"content": text}, obfuscation="x"))
    for text in arguments:
        told.feed(chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}))
    assert told.output_chars == sum(len(text.encode()) for text in (*texts, *reasoning, *arguments))


def test_the_usage_chunk_is_removed_unless_it_was_asked_for() -> None:
    told = stream()
    assert told.feed(TEXT + FINISH + COUNT + DONE) == TEXT + FINISH + DONE
    assert told.usage == COUNTED


def test_the_usage_chunk_that_was_asked_for_is_the_vendors_own() -> None:
    told = stream(include_usage=True)
    assert told.feed(TEXT + FINISH + COUNT + DONE) == TEXT + FINISH + COUNT + DONE


def test_a_usage_in_the_finish_chunk_gets_a_chunk_of_its_own() -> None:
    told = stream(include_usage=True)
    out = told.feed(TEXT + chunk(finish="stop", usage=USAGE, system_fingerprint="fp"))
    assert out == TEXT + chunk(finish="stop", usage=None, system_fingerprint="fp")
    assert [decode(told_event.data) for told_event in SSEDecoder().feed(told.close())[:1]] == [
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "m",
            "system_fingerprint": "fp",
            "choices": [],
            "usage": USAGE,
        }
    ]


def test_the_last_of_several_counts_is_the_one() -> None:
    told = stream(include_usage=True)
    running = [chunk({"content": "a"}, usage={**USAGE, "completion_tokens": count}) for count in (1, 9, 2)]
    out = told.feed(b"".join(running) + chunk(finish="stop") + DONE)
    assert told.usage == COUNTED
    assert out.count(b'"completion_tokens"') == 1


def test_a_count_after_an_empty_one_is_kept() -> None:
    told = stream()
    told.feed(chunk({"content": "a"}, usage=USAGE) + chunk(finish="stop", usage={}) + chunk(usage=None))
    assert told.usage == COUNTED


def test_without_a_count_there_is_no_usage_chunk() -> None:
    told = stream(include_usage=True)
    assert told.feed(TEXT + FINISH + DONE) == TEXT + FINISH + DONE


_json = st.recursive(
    st.none() | st.booleans() | st.integers(min_value=-(2**53), max_value=2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_LOOKALIKES = (',"usage":null', '"usage":null,', ', "usage": null', ',"usage":{"prompt_tokens":3}', '\\"usage\\":null')


@given(
    text=st.text() | st.sampled_from(_LOOKALIKES),
    before=st.dictionaries(st.text() | st.sampled_from(_LOOKALIKES), _json, max_size=3),
    after=st.dictionaries(st.text() | st.sampled_from(_LOOKALIKES), _json, max_size=3),
    usage=st.none() | st.just({}) | st.just(USAGE),
    include=st.booleans(),
    spaced=st.booleans(),
)
@example(
    text=',"usage":null', before={}, after={',"usage":null': {"usage": None}}, usage=None, include=False, spaced=False
)
@example(text="", before={"x": {"a": 1, "usage": None}}, after={}, usage=None, include=False, spaced=False)
def test_removing_a_usage_changes_nothing_else(
    text: str, before: dict[str, Any], after: dict[str, Any], usage: Any, include: bool, spaced: bool
) -> None:
    """The proof that cutting it out of the bytes is safe, whatever stands in strings, keys and nested objects."""
    ours = ("choices", "usage", "error", "id", "model", "sid", "code", "base_resp")
    before, after = ({name: value for name, value in fields.items() if name not in ours} for fields in (before, after))
    choices = [{"index": 0, "delta": {"content": text}}]
    written = encode({**before, "choices": choices, "usage": usage, **after})
    if spaced:
        written = b'{"choices": ' + encode(choices) + b', "usage": ' + encode(usage) + b', "x": ' + encode(after) + b"}"
    out = stream(include_usage=include).feed(b"data: " + written + b"\n\n")
    expected = decode(written)
    if include:
        expected["usage"] = None if usage else usage
    else:
        del expected["usage"]
    assert decode(out.removeprefix(b"data: ")) == expected


def test_a_usage_of_a_choice_is_not_mistaken_for_the_chunks() -> None:
    told = stream()
    choice = {"index": 0, "delta": {"content": "a"}, "usage": None}
    assert told.feed(event({"choices": [choice], "usage": None})) == event({"choices": [choice]})


def test_an_error_event_is_raised_with_the_status_it_means() -> None:
    told = stream()
    told.feed(TEXT)
    with pytest.raises(UpstreamRefused) as refused:
        told.feed(event({"error": {"message": "slow down", "type": "rate_limit_error", "code": None}}))
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"code":"Throttling","message":"slow"}', "slow"),
        (b'{"detail":"slow"}', "slow"),
        (b"slow", "slow"),
        (b'"slow"', "slow"),
    ],
)
def test_an_event_named_error_is_one_whatever_it_holds(data: bytes, message: str) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        stream().feed(b"event: error\ndata: " + data + b"\n\n")
    assert refused.value.message == message


def test_text_that_speaks_of_errors_is_text() -> None:
    written = chunk({"content": '{"error": {"message": "no"}, "usage": {"prompt_tokens": 1}, "code": 7}'})
    told = stream()
    assert told.feed(written) == written
    assert told.usage is None


def test_a_null_error_is_none() -> None:
    assert stream().feed(chunk({"content": "a"}, error=None)) == chunk({"content": "a"}, error=None)


def test_a_repaired_chunk_keeps_the_name_of_its_event() -> None:
    told = stream(FinishReasons({"normal": "stop"}))
    assert told.feed(b"event: result\n" + chunk(finish="normal")) == b"event: result\n" + chunk(finish="stop")


def test_a_chunk_that_needs_no_repair_after_all_keeps_its_bytes() -> None:
    written = (
        b'id: 1\ndata: {"choices": [{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function",'
        b'"function":{"name":"f","arguments":""}}]}}]}\n\n'
    )
    assert stream(ToolCalls()).feed(written) == written


def test_a_usage_in_the_choice_is_counted_once() -> None:
    told = stream(HoistUsage(), include_usage=True)
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}
    out = told.feed(TEXT + event({"id": "1", "choices": [choice]}) + COUNT + DONE)
    assert told.usage == COUNTED
    assert out.count(b'"prompt_tokens"') == 1
    assert out.endswith(COUNT + DONE)


def test_of_two_counts_in_one_chunk_the_chunks_own_is_the_one() -> None:
    told = stream(HoistUsage())
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 9}}
    told.feed(event({"choices": [choice], "usage": USAGE}))
    assert told.usage == COUNTED


def test_calls_without_numbers_are_numbered_by_their_ids() -> None:
    told = stream(ToolCalls())
    pieces = [
        {"id": "a", "function": {"name": "f", "arguments": ""}},
        {"function": {"arguments": "1"}},
        {"id": "b", "index": -1, "function": {"name": "g", "arguments": {"x": 2}}},
        {"id": "a", "function": {"arguments": "3"}},
        {"function": {"arguments": "4"}},
    ]
    out = told.feed(b"".join(chunk({"tool_calls": [piece]}) for piece in pieces))
    calls = [decode(told_event.data)["choices"][0]["delta"]["tool_calls"][0] for told_event in SSEDecoder().feed(out)]
    assert [call["index"] for call in calls] == [0, 0, 1, 0, 1]
    assert [call["function"]["arguments"] for call in calls] == ["", "1", '{"x":2}', "3", "4"]


@given(at=st.lists(st.integers(min_value=0, max_value=1000), max_size=8), crlf=st.booleans())
def test_it_does_not_matter_where_the_stream_is_cut(at: list[int], crlf: bool) -> None:
    body = b": wait\n\n" + TEXT + chunk({"content": "日本"}, usage=None) + chunk(finish="stop", usage=USAGE) + DONE
    if crlf:
        body = body.replace(b"\n", b"\r\n")
    whole, pieces = stream(include_usage=True), stream(include_usage=True)
    ends = sorted({place % len(body) for place in at} | {len(body)})
    out = b"".join(pieces.feed(body[start:end]) for start, end in zip([0, *ends], ends, strict=False)) + pieces.close()
    assert out == whole.feed(body) + whole.close()
    assert (pieces.usage, pieces.output_chars) == (whole.usage, whole.output_chars)
