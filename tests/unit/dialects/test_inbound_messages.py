from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processor.dialects.base import Asked
from processor.dialects.chat_answer import (
    ChatStream,
    Completion,
    completion,
    reasoning_encrypted,
    reasoning_text,
    tool_call,
)
from processor.dialects.inbound_messages import InboundMessages
from processor.dialects.inbound_messages_events import Blocks
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import decode, decode_fields, encode
from processor.wire.sse import DONE, SSEDecoder
from tests.support.asked import asked
from tests.support.pieces import bytewise, cut, places

JSON = dict[str, Any]

USAGE = Usage(input_tokens=9, output_tokens=5, cached_input_tokens=3, reasoning_tokens=2)
SIGNED = reasoning_text("Hm.", "sig", "anthropic-claude-v1")
HIDDEN = reasoning_encrypted("secret", "anthropic-claude-v1")
GEMINIS: JSON = {"google": {"thought_signature": "t"}}
MINIMAX: JSON = {"type": "reasoning.text", "id": "r-1", "format": "MiniMax-response-v1", "index": 0, "text": "Hm."}

EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def request(**more: Any) -> Asked:
    fields = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9, **more}
    return asked(decode_fields(encode(fields)), include_usage=True)


def answered(answer: Completion, usage: Usage | None = USAGE) -> JSON:
    body = completion(request(), [answer], usage, id="chatcmpl-1", model="m-1").body
    found: JSON = decode(InboundMessages().answer(body, request()))
    Message.model_validate(found)
    return found


def sent_back(content: list[JSON]) -> JSON:
    """The chat message that an answer becomes in the next request."""
    turn = {"role": "assistant", "content": content}
    found: list[JSON] = decode(InboundMessages().chat(request(messages=[turn]))["messages"])
    return found[0]


def streamed(pieces: Iterable[bytes]) -> bytes:
    stream = InboundMessages().stream(request())
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.close()


def events_of(body: bytes) -> list[JSON]:
    """The events, each as the SDK wants it and named as its type says."""
    found = []
    for event in SSEDecoder().feed(body):
        if event.data:
            data = decode(event.data)
            EVENTS.validate_python(data)
            assert event.event == data["type"]
            found.append(data)
    return found


class Answers(httpx2.BaseTransport):
    """A vendor's side that answers each request with the same bytes."""

    def __init__(self) -> None:
        self.answer = "application/json", b""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        content_type, body = self.answer
        return httpx2.Response(200, headers={"content-type": content_type}, content=body)


ANSWERS = Answers()
CLIENT = Anthropic(
    api_key="k",
    base_url="http://gateway",
    http_client=httpx2.Client(transport=ANSWERS),
    _strict_response_validation=True,
)


def accumulated(body: bytes) -> JSON:
    """What the SDK makes of a stream."""
    ANSWERS.answer = "text/event-stream", body
    with CLIENT.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hello"}]) as stream:
        return stream.get_final_message().model_dump(mode="json", exclude_none=True)


def content_of(body: bytes) -> list[JSON]:
    """The blocks of a stream, which must follow each other."""
    opened: list[int] = []
    open_now: int | None = None
    for event in events_of(body):
        if event["type"] == "content_block_start":
            assert open_now is None
            open_now = event["index"]
            opened.append(open_now)
        elif event["type"].startswith("content_block"):
            assert event["index"] == open_now
            open_now = None if event["type"] == "content_block_stop" else open_now
    assert open_now is None
    assert opened == list(range(len(opened)))
    content: list[JSON] = accumulated(body)["content"]
    return content


def chat() -> ChatStream:
    said = ChatStream(request())
    said.usage = USAGE
    return said


def told(*story: Callable[[ChatStream], bytes]) -> list[JSON]:
    """The blocks that a chat's stream becomes."""
    said = chat()
    return content_of(streamed([*[piece(said) for piece in story], said.finish("stop"), said.end()]))


def call(number: int, name: str = "f", arguments: str = "", **more: JSON) -> Callable[[ChatStream], bytes]:
    return lambda said: said.call(number, tool_call(f"call_{number}", name, arguments, **more))


def arguments(number: int, piece: str) -> Callable[[ChatStream], bytes]:
    return lambda said: said.arguments(number, piece)


def text(piece: str) -> Callable[[ChatStream], bytes]:
    return lambda said: said.text(piece)


def detail(entry: JSON) -> Callable[[ChatStream], bytes]:
    return lambda said: said.delta({"reasoning_details": [entry]})


def use(number: int, found: JSON, name: str = "f") -> JSON:
    return {"type": "tool_use", "id": f"call_{number}", "name": name, "input": found}


def whole_story() -> bytes:
    """A chat stream with all that one may hold, the pieces of two calls mixed."""
    said = chat()
    return b"".join(
        [
            b": keep-alive\n\n",
            said.begin(id="chatcmpl-1", model="m-1"),
            said.reasoning("H"),
            said.reasoning("m."),
            said.delta({"reasoning_details": [SIGNED]}),
            said.delta({"reasoning_details": [HIDDEN]}),
            said.text("Look"),
            said.text("ing."),
            said.call(0, tool_call("call_0", "weather", "")),
            said.arguments(0, '{"city"'),
            said.call(1, tool_call("call_1", "time", "", extra_content=GEMINIS)),
            said.arguments(1, "{"),
            said.arguments(0, ':"Oslo"}'),
            said.arguments(1, "}"),
            said.finish("tool_calls"),
            said.end(),
        ]
    )


WHOLE_STORY = Completion(
    content="Looking.",
    reasoning="Hm.",
    reasoning_details=[SIGNED, HIDDEN],
    tool_calls=[
        tool_call("call_0", "weather", '{"city":"Oslo"}'),
        tool_call("call_1", "time", "{}", extra_content=GEMINIS),
    ],
    finish_reason="tool_calls",
)


def test_an_answer_says_all_that_the_chat_said() -> None:
    answer = answered(WHOLE_STORY)
    sealed = answer["content"].pop(4)
    assert (sealed["type"], sealed["data"][:4]) == ("redacted_thinking", "gw1:")
    assert answer == {
        "id": "msg_golden",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "secret"},
            {"type": "text", "text": "Looking."},
            use(0, {"city": "Oslo"}, "weather"),
            use(1, {}, "time"),
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 3,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Completion(content="Hi", finish_reason="stop"), "end_turn"),
        (Completion(content="Hi", finish_reason="length"), "max_tokens"),
        (Completion(finish_reason="content_filter"), "refusal"),
        (Completion(refusal="No.", finish_reason="stop"), "refusal"),
        (Completion(content="Hi", finish_reason="of another kind"), "end_turn"),
        (Completion(tool_calls=[tool_call("c", "f", "{}")], finish_reason="stop"), "tool_use"),
        (Completion(tool_calls=[tool_call("c", "f", "{")], finish_reason="length"), "max_tokens"),
    ],
)
def test_the_reason_to_stop_is_told_in_anthropics_words(answer: Completion, reason: str) -> None:
    assert answered(answer)["stop_reason"] == reason
    said = chat()
    story = [said.text(answer.content or ""), said.refusal(answer.refusal or "")]
    story += [said.call(number, made) for number, made in enumerate(answer.tool_calls)]
    last = events_of(streamed([*story, said.finish(answer.finish_reason), said.end()]))[-2]
    assert last["delta"] == {"stop_reason": reason, "stop_sequence": None}


def test_an_answer_of_nothing_has_no_blocks_and_an_uncounted_one_costs_nothing() -> None:
    answer = answered(Completion(), None)
    assert answer["content"] == []
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (0, 0)
    said = ChatStream(request())
    events = events_of(streamed([said.finish("stop"), said.end()]))
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    assert events[1]["usage"] == answer["usage"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("", {}),
        (" ", {}),
        ('{"a":1}', {"a": 1}),
        ('{"a":', {"_raw": '{"a":'}),
        ("[1]", {"_raw": "[1]"}),
        ("null", {}),
    ],
)
def test_arguments_that_are_no_object_are_kept_as_a_text(written: str, found: JSON) -> None:
    answer = answered(Completion(tool_calls=[tool_call("c", "f", written)]))
    assert answer["content"][0]["input"] == found


def test_an_answer_without_a_message_is_the_vendors_mistake() -> None:
    for body in (b"{}", b'{"choices":[]}', b"[1]", b'{"choices":[{"index":0}]}'):
        with pytest.raises(UpstreamProtocolError):
            InboundMessages().answer(body, request())


def test_tokens_written_to_a_cache_are_no_plain_input() -> None:
    usage = {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}}
    body = encode({"choices": [{"message": {"content": "Hi"}}], "usage": usage})
    assert decode(InboundMessages().answer(body, request()))["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 0,
    }


@pytest.mark.parametrize("entry", [SIGNED, HIDDEN, MINIMAX, {**SIGNED, "format": "aws-bedrock-v1"}])
def test_thinking_comes_back_to_the_vendor_as_it_was(entry: JSON) -> None:
    thought = entry.get("text", "")
    whole = answered(Completion(content="Hi", reasoning=thought, reasoning_details=[entry]))
    said = chat()
    story = [said.reasoning(thought), said.delta({"reasoning_details": [entry]}), said.text("Hi"), said.finish("stop")]
    content = content_of(streamed([*story, said.end()]))
    assert content == whole["content"]
    message = sent_back(content)
    assert message["reasoning_details"] == [entry]
    assert message.get("reasoning_content", "") == thought


def test_thinking_summed_up_comes_back_to_the_vendor_as_it_was() -> None:
    entry = {"type": "reasoning.summary", "summary": "In short.", "format": "openai-responses-v1"}
    content = answered(Completion(content="Hi", reasoning_details=[entry]))["content"]
    assert content[0]["thinking"] == "In short."
    assert sent_back(content)["reasoning_details"] == [entry]


def test_what_a_vendor_signed_of_a_call_comes_back_on_the_call() -> None:
    for content in (answered(WHOLE_STORY)["content"], content_of(streamed([whole_story()]))):
        message = sent_back(content)
        assert message["tool_calls"] == WHOLE_STORY.tool_calls
        assert message["reasoning_details"] == WHOLE_STORY.reasoning_details
        assert (message["content"], message["reasoning_content"]) == ("Looking.", "Hm.")


def test_a_stream_accumulates_to_the_answer_that_a_whole_chat_gives() -> None:
    whole = Message.model_validate(answered(WHOLE_STORY)).model_dump(mode="json", exclude_none=True)
    assert accumulated(streamed([whole_story()])) == whole


def test_a_stream_tells_its_blocks_one_after_the_other() -> None:
    body = streamed([whole_story()])
    assert body.startswith(b": keep-alive\n\nevent: message_start\n")
    inner = [event.get("content_block") or event.get("delta") or event for event in events_of(body)]
    kinds = [told.get("type", "message_delta") for told in inner]
    assert kinds == [
        "message_start",
        "thinking",
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "redacted_thinking",
        "content_block_stop",
        "text",
        "text_delta",
        "text_delta",
        "content_block_stop",
        "tool_use",
        "input_json_delta",
        "input_json_delta",
        "content_block_stop",
        "redacted_thinking",
        "content_block_stop",
        "tool_use",
        "input_json_delta",
        "input_json_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    content_of(body)


@given(places)
@settings(max_examples=100, deadline=None)
def test_a_stream_may_be_cut_anywhere(at: list[int]) -> None:
    assert streamed(cut(whole_story(), at)) == streamed([whole_story()])


def test_a_stream_may_come_byte_by_byte() -> None:
    assert streamed(bytewise(whole_story())) == streamed([whole_story()])


def test_a_stream_that_ends_without_its_mark_is_completed_once() -> None:
    story = whole_story()
    assert streamed([story.removesuffix(DONE)]) == streamed([story])
    assert streamed([story, story]) == streamed([story])


def test_a_stream_of_nothing_is_a_message_all_the_same() -> None:
    assert accumulated(streamed([]))["model"] == "m"


def test_a_call_is_told_as_it_comes_once_the_one_before_is_whole() -> None:
    stream, said = InboundMessages().stream(request()), chat()
    assert b"call_0" in stream.feed(said.call(0, tool_call("call_0", "f", "")))
    assert b"partial_json" in stream.feed(said.arguments(0, '{"a":{}'))
    assert stream.feed(said.call(1, tool_call("call_1", "f", '{"b"'))) == b""
    assert stream.feed(said.text("Meanwhile")) == b""
    released = stream.feed(said.arguments(0, "}"))
    assert released.index(b"content_block_stop") < released.index(b"call_1")
    assert b"Meanwhile" not in released
    released = stream.feed(said.arguments(1, ":1}"))
    assert b"Meanwhile" in released
    assert b"later" in stream.feed(said.text(", later"))
    assert stream.feed(said.arguments(1, " ")) == b""


def test_calls_without_arguments_are_told_at_the_end() -> None:
    assert told(call(0), call(1), text("Hi"), call(2, "f", '{"a":1}')) == [
        use(0, {}),
        use(1, {}),
        {"type": "text", "text": "Hi"},
        use(2, {"a": 1}),
    ]


def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    first, second = (tool_call(id_, "f", '{"a":1}') for id_ in ("call_1", "call_2"))
    content = told(lambda said: said.call(0, first), lambda said: said.call(0, second))
    assert content == [use(1, {"a": 1}), use(2, {"a": 1})]


def test_a_call_without_an_id_gets_one() -> None:
    assert told(lambda said: said.call(0, tool_call("", "f", "{}")))[0]["id"] == "toolu_golden_0"
    assert answered(Completion(tool_calls=[tool_call("", "f", "{}")]))["content"][0]["id"] == "toolu_golden_0"


def test_thinking_that_only_the_details_tell_is_told_once() -> None:
    pieces = [{**MINIMAX, "text": piece} for piece in ("H", "m.")]
    content = told(*map(detail, pieces), text("Hi"))
    assert content[0]["thinking"] == "Hm."
    assert sent_back(content)["reasoning_details"] == [MINIMAX]


def test_thinking_after_a_signature_is_a_block_of_its_own() -> None:
    again = reasoning_text("Ah.", "sig2", "anthropic-claude-v1")
    content = told(detail(SIGNED), detail(again), text("Hi"))
    assert sent_back(content)["reasoning_details"] == [SIGNED, again]


def test_a_signature_without_thinking_is_kept() -> None:
    empty = reasoning_text("", "sig", "anthropic-claude-v1")
    assert told(detail(empty), text("Hi"))[0] == {"type": "thinking", "thinking": "", "signature": "sig"}


def test_a_refusal_is_told_as_a_text() -> None:
    content = told(lambda said: said.refusal("N"), lambda said: said.refusal("o."))
    assert content == answered(Completion(refusal="No."))["content"] == [{"type": "text", "text": "No."}]


def test_other_choices_and_chunks_that_are_no_answer_are_left_out() -> None:
    other = b'data: {"choices":[{"index":1,"delta":{"content":"other"}}]}\n\n'
    content = told(lambda _: b"data: [1]\n\nid: 3\n\n", lambda _: other, text("Hi"))
    assert content == [{"type": "text", "text": "Hi"}]


def test_what_waits_is_bounded() -> None:
    blocks = Blocks(limit=100)
    blocks.call(0, "call_0", "f")
    blocks.arguments(0, "x" * 60)
    with pytest.raises(UpstreamProtocolError):
        blocks.text("x" * 60)


def test_what_was_told_no_longer_counts() -> None:
    blocks = Blocks(limit=100)
    for number in range(10):
        blocks.call(number, f"call_{number}", "f")
        blocks.arguments(number, '{"a":"' + "x" * 60 + '"}')
        assert blocks.arguments(number, "\n")
        assert blocks.arguments(0, " " * 20 * number) == b""
    assert blocks.close()


@dataclass
class Story:
    """A chat's stream, and what a client should make of it."""

    chunks: list[bytes] = field(default_factory=list)
    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, JSON]] = field(default_factory=list)


texts = st.text(max_size=8)
inputs = st.dictionaries(texts, st.one_of(texts, st.integers(-9, 9), st.lists(texts, max_size=2)), max_size=3)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Text, thinking and calls in any order, the pieces of the calls mixed, some of them empty."""
    said, story = chat(), Story()
    left: dict[int, list[str]] = {}
    for _ in range(draw(st.integers(0, 12))):
        match draw(st.sampled_from(["text", "thinking", "call", "arguments", "empty"])):
            case "text":
                piece = draw(texts)
                story.text += piece
                story.chunks.append(said.text(piece))
            case "thinking":
                piece = draw(texts)
                story.thinking += piece
                story.chunks.append(said.reasoning(piece))
            case "call":
                number, found, name = len(story.calls), draw(inputs), draw(st.text("abc", min_size=1, max_size=3))
                story.calls.append((f"call_{number}", name, found))
                written = encode(found).decode()
                at = sorted(draw(st.lists(st.integers(0, len(written)), max_size=4)))
                pieces = [written[a:b] for a, b in zip([0, *at], [*at, len(written)], strict=True)]
                left[number] = pieces[1:]
                story.chunks.append(said.call(number, tool_call(f"call_{number}", name, pieces[0])))
            case "arguments" if left:
                number = draw(st.sampled_from(sorted(left)))
                story.chunks.append(said.arguments(number, left[number].pop(0) if left[number] else ""))
            case _:
                story.chunks.append(said.delta({"content": "", "reasoning_content": None, "tool_calls": []}))
    for number, pieces in left.items():
        story.chunks += [said.arguments(number, piece) for piece in pieces]
    story.chunks += [said.finish("tool_calls" if story.calls else "stop"), said.end()]
    return story


@given(story=stories(), at=places)
@settings(max_examples=150, deadline=None)
def test_what_the_sdk_makes_of_any_stream_is_what_the_chat_said(story: Story, at: list[int]) -> None:
    content = content_of(streamed(cut(b"".join(story.chunks), at)))
    assert "".join(block["text"] for block in content if block["type"] == "text") == story.text
    assert "".join(block["thinking"] for block in content if block["type"] == "thinking") == story.thinking
    calls = [(block["id"], block["name"], block["input"]) for block in content if block["type"] == "tool_use"]
    assert calls == story.calls


def test_the_sdk_reads_a_whole_answer_strictly() -> None:
    body = completion(request(), [WHOLE_STORY], USAGE, id="chatcmpl-1", model="m-1").body
    ANSWERS.answer = "application/json", InboundMessages().answer(body, request())
    message = CLIENT.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hello"}])
    assert [block.type for block in message.content] == [block["type"] for block in answered(WHOLE_STORY)["content"]]
    assert message.usage.cache_read_input_tokens == 3
