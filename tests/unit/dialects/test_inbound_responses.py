from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from processor.dialects.base import Asked
from processor.dialects.chat_answer import ChatStream, Completion, completion, reasoning_text, tool_call
from processor.dialects.inbound_responses import InboundResponses
from processor.dialects.inbound_responses_stream import ResponsesStream
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_fold import folded
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import decode, decode_fields, encode
from processor.wire.sse import DONE, SSEDecoder
from tests.support.asked import asked
from tests.support.pieces import bytewise, cut, places

JSON = dict[str, Any]

TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
REQUEST: JSON = {
    "model": "m",
    "input": "Hello",
    "instructions": "Be short.",
    "tools": TOOLS,
    "tool_choice": "auto",
    "metadata": {"a": "b"},
    "text": {"verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "temperature": 0.5,
    "max_output_tokens": 100,
    "service_tier": None,
    "store": True,
}
SIGNED = reasoning_text("Hm.", "sig", "anthropic-claude-v1")
TOKEN: JSON = {"token": "天", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "a", "logprob": -1.0}]}
CITED: JSON = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "https://a"},
}
USAGE = Usage(input_tokens=9, output_tokens=5, cached_input_tokens=3, reasoning_tokens=2)

EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def request(**more: Any) -> Asked:
    return asked(decode_fields(encode({**REQUEST, **more})), include_usage=True)


def answered(answer: Completion, usage: Usage | None = USAGE) -> JSON:
    question = request()
    body = completion(question, [answer], usage, id="chatcmpl-1", model="m-1").body
    found: JSON = decode(InboundResponses().answer(body, question))
    Response.model_validate(found)
    return found


def streamed(pieces: Iterable[bytes]) -> bytes:
    stream = InboundResponses().stream(request())
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.close()


def events_of(body: bytes) -> list[JSON]:
    """The events, each as the SDK wants it, named as its type says, and numbered without a gap."""
    found = []
    for event in SSEDecoder().feed(body):
        data = decode(event.data)
        EVENTS.validate_python(data)
        assert event.event == data["type"]
        found.append(data)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def kinds(events: list[JSON]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


class Answers(httpx2.BaseTransport):
    """A vendor's side that answers each request with the same bytes."""

    def __init__(self, content_type: str, body: bytes) -> None:
        self._answer = content_type, body

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        content_type, body = self._answer
        return httpx2.Response(200, headers={"content-type": content_type}, content=body)


def client(content_type: str, body: bytes) -> OpenAI:
    http = httpx2.Client(transport=Answers(content_type, body))
    return OpenAI(api_key="k", base_url="http://gateway", http_client=http, _strict_response_validation=True)


def chat() -> ChatStream:
    stream = ChatStream(request())
    stream.usage = USAGE
    return stream


def whole_story() -> bytes:
    """A chat stream with all that one may hold, the pieces of two calls mixed."""
    said = chat()
    return b"".join(
        [
            said.begin(id="chatcmpl-1", model="m-1"),
            said.reasoning("H"),
            said.reasoning("m."),
            said.delta({"reasoning_details": [SIGNED]}),
            said.text("Look"),
            said.text("ing."),
            said.delta({"annotations": [CITED]}),
            said.call(0, tool_call("call_1", "weather", "")),
            said.arguments(0, '{"city"'),
            said.call(1, tool_call("call_2", "time", "", extra_content={"google": {"thought_signature": "t"}})),
            said.arguments(0, ':"Oslo"}'),
            said.arguments(1, "{}"),
            said.finish("tool_calls"),
            said.end(),
        ]
    )


def test_an_answer_says_all_that_the_chat_said_and_what_was_asked() -> None:
    calls = [tool_call("call_1", "weather", '{"city":"Oslo"}'), tool_call("", "time", "{}")]
    answer = answered(
        Completion(
            content="Looking.",
            reasoning="Hm.",
            reasoning_details=[SIGNED],
            annotations=[CITED],
            tool_calls=calls,
            finish_reason="tool_calls",
            logprobs={"content": [TOKEN]},
        )
    )
    flat = {"type": "url_citation", **CITED["url_citation"]}
    spelled = {**TOKEN, "bytes": [229, 164, 169], "top_logprobs": [{"token": "a", "logprob": -1.0, "bytes": [97]}]}
    text = {"type": "output_text", "text": "Looking.", "annotations": [flat], "logprobs": [spelled]}
    sealed = answer["output"][0].pop("encrypted_content")
    assert sealed.startswith("gw1:")
    assert answer == {
        "id": "resp_golden",
        "object": "response",
        "created_at": 1790000000,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": "Be short.",
        "max_output_tokens": 100,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "model": "m-1",
        "output": [
            {"id": "rs_golden_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"id": "msg_golden_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]},
            {
                "id": "fc_golden_2",
                "type": "function_call",
                "call_id": "call_1",
                "name": "weather",
                "arguments": '{"city":"Oslo"}',
                "status": "completed",
            },
            {
                "id": "fc_golden_3",
                "type": "function_call",
                "call_id": "call_golden_3",
                "name": "time",
                "arguments": "{}",
                "status": "completed",
            },
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tool_choice": "auto",
        "tools": TOOLS,
        "top_logprobs": 0,
        "top_p": None,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 14,
        },
        "user": None,
    }


@pytest.mark.parametrize(
    ("finish_reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_an_answer_that_was_cut_says_why(finish_reason: str, status: str, details: JSON | None) -> None:
    answer = answered(Completion(content="Hi", finish_reason=finish_reason))
    assert (answer["status"], answer["incomplete_details"]) == (status, details)
    assert answer["output"][0]["status"] == status
    said = chat()
    last = events_of(streamed([said.text("Hi"), said.finish(finish_reason), said.end()]))[-1]
    assert last["type"] == f"response.{status}"
    assert last["response"] == answer | {"model": "m"}


def test_an_answer_of_nothing_is_an_empty_message_and_uncounted_usage_is_null() -> None:
    answer = answered(Completion(content=None), None)
    content = [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]
    assert answer["output"][0]["content"] == content
    assert answer["usage"] is None
    said = ChatStream(request())
    last = events_of(streamed([said.finish("stop"), said.end()]))[-1]
    assert last["response"]["output"][0]["content"] == content


def test_a_refusal_is_a_part_of_its_own() -> None:
    assert answered(Completion(refusal="No."))["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_an_answer_without_a_message_is_the_vendors_mistake() -> None:
    for body in (b"{}", b'{"choices":[]}', b"[1]", b'{"choices":[{"index":0}]}'):
        with pytest.raises(UpstreamProtocolError):
            InboundResponses().answer(body, request())


def test_the_thinking_of_an_answer_can_be_sent_back() -> None:
    answer = answered(Completion(reasoning="Hm.", reasoning_details=[SIGNED], tool_calls=[tool_call("c", "f", "{}")]))
    again = InboundResponses().chat(request(input=answer["output"]))
    message = decode(again["messages"])[1]
    assert message["reasoning_content"] == "Hm."
    assert message["reasoning_details"] == [SIGNED]
    assert message["tool_calls"] == [tool_call("c", "f", "{}")]


@pytest.mark.parametrize("thought", ["", "Hm."])
def test_what_a_vendor_signed_of_its_calls_can_be_sent_back(thought: str) -> None:
    signed = {"google": {"thought_signature": "t"}}
    calls = [tool_call(name, "f", "{}", extra_content=signed) for name in ("c1", "c2")]
    answer = answered(Completion(reasoning=thought, tool_calls=calls))
    assert [item["type"] for item in answer["output"]] == ["reasoning", "function_call"] * 2
    messages = decode(InboundResponses().chat(request(input=answer["output"]))["messages"])
    assert messages[1]["tool_calls"] == calls
    assert "reasoning_details" not in messages[1]


def test_a_calls_signature_does_not_part_it_from_what_was_said_before() -> None:
    calls = [tool_call("c1", "f", "{}", extra_content={"google": {"thought_signature": "t"}})]
    answer = answered(Completion(content="Looking.", tool_calls=calls))
    messages = decode(InboundResponses().chat(request(input=answer["output"]))["messages"])
    assert messages[1:] == [{"role": "assistant", "content": "Looking.", "tool_calls": calls}]


def test_a_stream_tells_each_item_from_its_opening_to_its_end() -> None:
    events = events_of(streamed([whole_story()]))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    assert events[-1]["response"]["output"] == [done[index] for index in sorted(done)]
    assert events[0]["response"]["status"] == "in_progress"


def test_a_stream_ends_in_the_answer_that_a_whole_chat_gives() -> None:
    last = events_of(streamed([whole_story()]))[-1]["response"]
    calls = [
        tool_call("call_1", "weather", '{"city":"Oslo"}'),
        tool_call("call_2", "time", "{}", extra_content={"google": {"thought_signature": "t"}}),
    ]
    said = Completion(
        content="Looking.",
        reasoning="Hm.",
        reasoning_details=[SIGNED],
        annotations=[CITED],
        tool_calls=calls,
        finish_reason="tool_calls",
    )
    assert last == answered(said)


@given(places)
@settings(max_examples=100, deadline=None)
def test_a_stream_may_be_cut_anywhere(at: list[int]) -> None:
    assert streamed(cut(whole_story(), at)) == streamed([whole_story()])


def test_a_stream_may_come_byte_by_byte() -> None:
    assert streamed(bytewise(whole_story())) == streamed([whole_story()])


def test_a_stream_that_ends_without_its_mark_is_completed_once() -> None:
    story = whole_story()
    assert streamed([story.removesuffix(DONE)]) == streamed([story])
    assert kinds(events_of(streamed([story, story]))).count("completed") == 1


def test_logprobs_come_with_their_text() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "天"}, "logprobs": {"content": [TOKEN]}}]}
    events = events_of(streamed([b"data: " + encode(chunk) + b"\n\n", DONE]))
    [delta] = [event for event in events if event["type"] == "response.output_text.delta"]
    assert delta["logprobs"][0]["token"] == "天"
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == delta["logprobs"]


def test_logprobs_of_another_form_do_not_cost_the_text() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": "?"}}]}
    events = events_of(streamed([b"data: " + encode(chunk) + b"\n\n", DONE]))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hi"


def test_a_refusal_after_a_text_is_the_messages_second_part() -> None:
    said = chat()
    events = events_of(
        streamed([said.text("Well, "), said.refusal("n"), said.refusal("o."), said.finish("stop"), DONE])
    )
    content = events[-1]["response"]["output"][0]["content"]
    assert [part["type"] for part in content] == ["output_text", "refusal"]
    assert content[1]["refusal"] == "no."
    [done] = [event for event in events if event["type"] == "response.refusal.done"]
    assert (done["refusal"], done["content_index"]) == ("no.", 1)


def test_thinking_in_pieces_is_sealed_as_one_entry() -> None:
    said = chat()
    pieces = ({"type": "reasoning.text", "index": 0, "text": text} for text in ("H", "m", "."))
    story = [said.delta({"reasoning_details": [piece]}) for piece in pieces]
    story.append(said.delta({"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "s"}]}))
    last = events_of(streamed([*story, said.text("Hi"), said.finish("stop"), said.end()]))[-1]["response"]
    again = InboundResponses().chat(request(input=last["output"]))
    details = decode(again["messages"])[1]["reasoning_details"]
    assert details == [{"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "s"}]


def test_other_choices_and_chunks_that_are_no_answer_are_left_out() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}}]}
    said = chat()
    story = [b": keep-alive\n\n", b"data: [1]\n\n", b"data: " + encode(other) + b"\n\n", said.text("Hi")]
    last = events_of(streamed([*story, said.finish("stop"), said.end()]))[-1]
    assert last["response"]["output"][0]["content"][0]["text"] == "Hi"


def test_an_answer_beyond_reason_is_given_up() -> None:
    stream = ResponsesStream(request(), limit=1000)
    assert stream.feed(chat().text("x"))
    with pytest.raises(UpstreamProtocolError):
        stream.feed(chat().text("x" * 1000))


class City(BaseModel):
    name: str


def test_the_sdk_reads_a_whole_answer_strictly() -> None:
    question = request()
    calls = [tool_call("call_1", "weather", '{"city":"Oslo"}')]
    body = completion(question, [Completion(content='{"name":"Oslo"}', tool_calls=calls)], USAGE, id="", model="").body
    answer = InboundResponses().answer(body, question)
    response = client("application/json", answer).responses.create(model="m", input="Hello")
    assert response.output_text == '{"name":"Oslo"}'
    parsed = client("application/json", answer).responses.parse(model="m", input="Hello", text_format=City)
    assert parsed.output_parsed == City(name="Oslo")


def test_the_sdk_accumulates_a_stream_strictly() -> None:
    body = streamed([whole_story()])
    with client("text/event-stream", body).responses.stream(model="m", input="Hello") as stream:
        final = stream.get_final_response()
    assert final.output_text == "Looking."
    kinds_of = [item.type for item in final.output]
    assert kinds_of == ["reasoning", "message", "function_call", "reasoning", "function_call"]
    raw = client("text/event-stream", body).responses.create(model="m", input="Hello", stream=True)
    assert [event.type for event in raw][-1] == "response.completed"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SAID = st.lists(
    st.one_of(
        st.tuples(st.just("content"), TEXT),
        st.tuples(st.just("reasoning_content"), TEXT),
        st.tuples(st.just("refusal"), TEXT),
        st.tuples(st.just("call"), st.tuples(st.integers(min_value=0, max_value=2), TEXT)),
        st.tuples(st.just("empty"), st.just("")),
    ),
    max_size=15,
)


def story_of(said: list[tuple[str, Any]]) -> Iterator[JSON]:
    """The deltas of a stream that says these pieces; a call begins with its first."""
    known: set[int] = set()
    for kind, piece in said:
        if kind != "call":
            yield {} if kind == "empty" else {kind: piece}
            continue
        index, arguments = piece
        begun = {"id": f"c{index}", "type": "function"} if index not in known else {}
        named = {"name": f"f{index}"} if begun else {}
        known.add(index)
        yield {"tool_calls": [{"index": index, **begun, "function": {**named, "arguments": arguments}}]}


@given(said=SAID, at=places)
@settings(max_examples=150, deadline=None)
def test_whatever_a_chat_says_arrives(said: list[tuple[str, Any]], at: list[int]) -> None:
    chunks = ({"choices": [{"index": 0, "delta": delta}]} for delta in story_of(said))
    body = b"".join(b"data: " + encode(chunk) + b"\n\n" for chunk in chunks) + DONE
    events = events_of(streamed(cut(body, at)))
    output = events[-1]["response"]["output"]
    messages = [part for item in output if item["type"] == "message" for part in item["content"]]
    assert "".join(part.get("text", "") for part in messages) == joined(said, "content")
    assert "".join(part.get("refusal", "") for part in messages) == joined(said, "refusal")
    thoughts = [part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"]]
    assert "".join(thoughts) == joined(said, "reasoning_content")
    arguments: dict[str, str] = {}
    for kind, piece in said:
        if kind == "call":
            name = f"f{piece[0]}"
            arguments[name] = arguments.get(name, "") + piece[1]
    calls = {item["name"]: item["arguments"] for item in output if item["type"] == "function_call"}
    assert calls == arguments
    assert from_deltas(events) == output


def joined(said: list[tuple[str, Any]], kind: str) -> str:
    return "".join(piece for found, piece in said if found == kind)


def from_deltas(events: list[JSON]) -> list[JSON]:
    """The output as a client that reads only openings and deltas would have it, its states and seals left as told."""
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    for index, item in done.items():
        deltas = [e["delta"] for e in events if e.get("output_index") == index and e["type"].endswith(".delta")]
        texts = [
            part.get("text") or part.get("refusal") or "" for part in item.get("content") or item.get("summary") or ()
        ]
        assert "".join(deltas) == item.get("arguments", "".join(texts))
    return [done[index] for index in sorted(done)]


def test_the_folded_chat_and_the_stream_agree() -> None:
    said = chat()
    body = b"".join(
        [said.begin(id="i", model="m-1"), said.reasoning("Hm."), said.text("Hi"), said.finish("stop"), said.end()]
    )
    chat_answer = folded(body, OpenAIChat().stream(request(include_usage=True)))
    whole = decode(InboundResponses().answer(chat_answer.body, request()))
    assert events_of(streamed([body]))[-1]["response"] == whole
