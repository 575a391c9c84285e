from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.dashscope_stream import DashScopeChatStream
from processor.errors import UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, encode
from processor.wire.sse import SSEDecoder
from tests.support.asked import asked


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    data = encode({"output": {"choices": list(choices)}, "request_id": "q", **more})
    return b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:" + data + b"\n\n"


def said(content: Any = "", finish: str = "null", **more: Any) -> dict[str, Any]:
    index = {"index": more.pop("index")} if "index" in more else {}
    return {**index, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}


def call(arguments: str | None, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    return {**more, "type": "function", "function": {**name, "arguments": arguments}}


def chunks(stream: DashScopeChatStream, *events: bytes) -> list[dict[str, Any]]:
    out = b"".join(map(stream.feed, events)) + stream.close()
    data = [found.data for found in SSEDecoder().feed(out)]
    assert data.pop() == b"[DONE]"
    return [decode(found) for found in data]


def deltas(stream: DashScopeChatStream, *events: bytes) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks(stream, *events) for choice in chunk["choices"]]


def test_choices_that_come_by_turns_keep_their_numbers() -> None:
    found = chunks(
        DashScopeChatStream(asked()),
        event(said("a", index=0), said("x", index=1)),
        event(said("b", "stop", index=0)),
        event(said("y", "length", index=1)),
    )
    text = {0: "", 1: ""}
    ends = {}
    for choice in (chunk["choices"][0] for chunk in found):
        text[choice["index"]] += choice["delta"].get("content", "")
        if choice["finish_reason"]:
            ends[choice["index"]] = choice["finish_reason"]
    assert text == {0: "ab", 1: "xy"}
    assert ends == {0: "stop", 1: "length"}


def test_a_choice_ends_once() -> None:
    found = chunks(DashScopeChatStream(asked()), event(said("a", "stop")), event(said("", "stop")))
    assert [chunk["choices"][0]["finish_reason"] for chunk in found].count("stop") == 1


def test_calls_without_a_number_are_told_apart_by_their_ids() -> None:
    found = deltas(
        DashScopeChatStream(asked()),
        event(said(tool_calls=[call('{"a":', id="1", name="f"), call("{}", id="2", name="g")])),
        event(said(tool_calls=[call("1}", id="1")])),
        event(said("", "stop")),
    )
    calls = [piece for delta in found for piece in delta.get("tool_calls", ())]
    assert [(piece["index"], piece["function"].get("name"), piece["function"]["arguments"]) for piece in calls] == [
        (0, "f", '{"a":'),
        (1, "g", "{}"),
        (0, None, "1}"),
    ]


def test_a_piece_that_names_no_call_goes_on_with_the_latest() -> None:
    found = deltas(
        DashScopeChatStream(asked()),
        event(said(tool_calls=[call("", id="1", name="f")])),
        event(said(tool_calls=[call("{}", id="")])),
        event(said("", "tool_calls")),
    )
    pieces = [delta["tool_calls"][0] for delta in found if "tool_calls" in delta]
    assert [(piece["index"], piece["function"]["arguments"]) for piece in pieces] == [(0, ""), (0, "{}")]


def test_a_call_without_an_id_gets_one_that_is_the_answers_own() -> None:
    found = deltas(
        DashScopeChatStream(asked()), event(said("", "tool_calls", tool_calls=[call("{}", index=0, name="f")]))
    )
    assert [delta["tool_calls"][0]["id"] for delta in found if "tool_calls" in delta] == ["q_0"]


def test_a_stop_after_calls_is_because_of_them() -> None:
    found = chunks(DashScopeChatStream(asked()), event(said("", "stop", tool_calls=[call("{}", index=0, name="f")])))
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_old_models_text_is_a_choice() -> None:
    data = b'data:{"output":{"text":"Hi","finish_reason":"null"},"request_id":"q"}\n\n'
    end = b'data:{"output":{"text":" there","finish_reason":"stop"},"request_id":"q"}\n\n'
    found = deltas(DashScopeChatStream(asked()), data, end)
    assert "".join(delta.get("content", "") for delta in found) == "Hi there"


def test_a_stream_without_a_finish_is_cut_and_keeps_its_latest_count() -> None:
    stream = DashScopeChatStream(asked())
    stream.feed(event(said("世界"), usage={"input_tokens": 3, "output_tokens": 1}))
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert cut.value.code == "upstream_stream_cut"
    assert stream.usage is not None
    assert (stream.usage.input_tokens, stream.usage.output_tokens, stream.output_chars) == (3, 1, 6)


def test_a_finished_stream_that_ends_within_an_event_is_cut_for_it_may_have_held_the_count() -> None:
    stream = DashScopeChatStream(asked())
    stream.feed(event(said("Hi", "stop")) + b'data:{"output":{"choi')
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert (cut.value.code, stream.malformed) == ("upstream_stream_cut", 0)


def test_an_empty_stream_is_cut() -> None:
    with pytest.raises(UpstreamProtocolError):
        DashScopeChatStream(asked()).close()


@pytest.mark.parametrize(
    ("status_line", "status"), [(b":HTTP_STATUS/503\n", 503), (b": HTTP_STATUS/503\n", 503), (b"", 500)]
)
def test_an_error_after_some_text_is_an_error_with_the_status_it_tells(status_line: bytes, status: int) -> None:
    stream = DashScopeChatStream(asked())
    stream.feed(event(said("Hi")))
    with pytest.raises(UpstreamRefused) as refused:
        stream.feed(b"id:2\nevent:error\n" + status_line + b'data:{"code":"InternalError","message":"Broken."}\n\n')
    assert (refused.value.status, refused.value.message, refused.value.code) == (status, "Broken.", "InternalError")
    assert stream.content_seen


@pytest.mark.parametrize("data", [b"nonsense", b"[]", b"{}", b'{"output":{"choices":[{"message":{"content":3}}]}}'])
def test_an_event_that_is_not_dashscopes_is_left_out(data: bytes) -> None:
    stream = DashScopeChatStream(asked())
    assert stream.feed(b"data:" + data + b"\n\n") == b""
    assert (stream.malformed, stream.content_seen, stream.usage) == (1, False, None)


def test_an_error_that_is_not_json_is_an_error() -> None:
    with pytest.raises(UpstreamRefused, match="nonsense") as refused:
        DashScopeChatStream(asked()).feed(b"event:error\ndata:nonsense\n\n")
    assert refused.value.status == 502


def test_comments_alone_begin_nothing() -> None:
    stream = DashScopeChatStream(asked())
    assert stream.feed(b":HTTP_STATUS/200\n\n") == b""
    assert not stream.content_seen


def cut(body: bytes, ends: list[int]) -> list[bytes]:
    places = [0, *sorted({end % (len(body) + 1) for end in ends}), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


@given(
    pieces=st.lists(st.tuples(st.text(), st.text(), st.lists(st.text(), max_size=2)), max_size=5),
    ends=st.lists(st.integers(min_value=0, max_value=1 << 16), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_what_is_said_arrives_however_its_bytes_are_cut(
    pieces: list[tuple[str, str, list[str]]], ends: list[int]
) -> None:
    events = [
        event(
            said(
                [{"text": text}],
                reasoning_content=thought,
                tool_calls=[call(piece, index=number, name="f") for number, piece in enumerate(arguments)],
            )
        )
        for text, thought, arguments in pieces
    ]
    stream = DashScopeChatStream(asked())
    found = deltas(stream, *cut(b"".join(events) + event(said("", "stop")), ends))
    assert "".join(delta.get("content", "") for delta in found) == "".join(text for text, _, _ in pieces)
    assert "".join(delta.get("reasoning_content", "") for delta in found) == "".join(
        thought for _, thought, _ in pieces
    )
    got = ["", ""]
    for call_piece in (piece for delta in found for piece in delta.get("tool_calls", ())):
        got[call_piece["index"]] += call_piece["function"]["arguments"]
    wanted = [[*arguments, "", ""] for _, _, arguments in pieces]
    assert got == ["".join(arguments[number] for arguments in wanted) for number in (0, 1)]
