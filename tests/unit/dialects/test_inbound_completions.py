from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion as TextCompletion

from processor.dialects.base import Asked
from processor.dialects.chat_answer import ChatStream, Completion, completion
from processor.dialects.inbound_completions import InboundCompletions
from processor.dialects.openai_chat import OpenAIChat
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import decode, decode_fields, encode
from processor.wire.sse import DONE, SSEDecoder
from tests.support.asked import asked
from tests.support.pieces import bytewise, cut, places

JSON = dict[str, Any]

USAGE = Usage(input_tokens=3, output_tokens=2)
TOKENS: JSON = {
    "content": [
        {"token": "天", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "a", "logprob": -1.0}]},
        {"token": "気", "logprob": -0.1, "bytes": None, "top_logprobs": []},
    ]
}


def request(body: JSON, **more: Any) -> Asked:
    return asked(decode_fields(encode(body)), **more)


def chat(body: JSON, **more: Any) -> JSON:
    return {name: decode(value) for name, value in InboundCompletions().chat(request(body, **more)).items()}


def streamed(body: bytes, at: list[int] | None = None, *, include_usage: bool = False) -> list[JSON]:
    stream = InboundCompletions().stream(asked(include_usage=include_usage))
    out = b"".join(stream.feed(piece) for piece in cut(body, at or [])) + stream.close()
    assert out.endswith(DONE)
    assert out.count(DONE) == 1
    return [decode(event.data) for event in SSEDecoder().feed(out.removesuffix(DONE))]


def chunk(delta: JSON, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
    return b"data: " + encode({"id": "c", "model": "m-1", "choices": [choice]}) + b"\n\n"


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_one_prompt_is_what_the_user_says(prompt: object) -> None:
    body = {"model": "m", "prompt": prompt, "max_tokens": 5, "n": 2, "stop": None, "stream_options": {}, "suffix": ""}
    messages = [{"role": "user", "content": "Once"}]
    assert chat(body) == {"model": "m", "max_tokens": 5, "n": 2, "messages": messages}


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], [], 3, {"a": 1}, None])
def test_other_prompts_are_refused(prompt: object) -> None:
    with pytest.raises(MalformedRequest) as error:
        chat({"prompt": prompt}, drop_params=True)
    assert error.value.param == "prompt"


@pytest.mark.parametrize(("name", "value"), [("suffix", "end"), ("echo", True), ("best_of", 3)])
def test_what_a_chat_cannot_do_is_refused_or_dropped(name: str, value: object) -> None:
    with pytest.raises(MalformedRequest) as error:
        chat({"prompt": "Once", name: value})
    assert error.value.param == name
    assert name not in chat({"prompt": "Once", name: value}, drop_params=True)


@pytest.mark.parametrize(("name", "value"), [("suffix", ""), ("echo", False), ("best_of", 1), ("best_of", None)])
def test_what_asks_for_nothing_is_left_out(name: str, value: object) -> None:
    assert name not in chat({"prompt": "Once", name: value})


@pytest.mark.parametrize(("count", "fields"), [(3, {"logprobs": True, "top_logprobs": 3}), (0, {"logprobs": True})])
def test_logprobs_are_asked_for_in_two_parameters(count: int, fields: JSON) -> None:
    body = chat({"prompt": "Once", "logprobs": count})
    assert {name: value for name, value in body.items() if name != "messages"} == fields


def test_a_whole_answer_is_the_texts_of_its_choices() -> None:
    question = request({"prompt": "Once"})
    choices = [
        Completion(content="天気", finish_reason="tool_calls", reasoning="Hm.", logprobs=TOKENS),
        Completion(content="b", finish_reason="length"),
        Completion(refusal="No."),
    ]
    body = completion(question, choices, USAGE, id="c", model="m-1").body
    answer = decode(InboundCompletions().answer(body, question))
    TextCompletion.model_validate(answer)
    logprobs = {
        "tokens": ["天", "気"],
        "token_logprobs": [-0.5, -0.1],
        "top_logprobs": [{"a": -1.0}, {}],
        "text_offset": [0, 1],
    }
    assert answer == {
        "id": "cmpl-golden",
        "object": "text_completion",
        "created": 1790000000,
        "model": "m-1",
        "choices": [
            {"text": "天気", "index": 0, "logprobs": logprobs, "finish_reason": "stop"},
            {"text": "b", "index": 1, "logprobs": None, "finish_reason": "length"},
            {"text": "No.", "index": 2, "logprobs": None, "finish_reason": "stop"},
        ],
        "usage": decode(body)["usage"],
    }


@pytest.mark.parametrize("body", [b"{}", b'{"choices":[]}', b"?"])
def test_an_answer_without_choices_is_the_vendors_mistake(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        InboundCompletions().answer(body, asked())


def test_a_stream_is_pieces_of_text_and_an_end() -> None:
    said = ChatStream(asked(include_usage=True))
    said.usage = USAGE
    body = said.begin(model="m-1") + said.reasoning("Hm.") + said.text("On") + said.text("ce") + said.finish("length")
    body += said.end()
    chunks = streamed(body, include_usage=True)
    told = [(choice["text"], choice["finish_reason"]) for piece in chunks for choice in piece["choices"]]
    assert told == [("On", None), ("ce", None), ("", "length")]
    assert [piece["usage"] for piece in chunks[:-1]] == [None] * 3
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 5
    assert {piece["id"] for piece in chunks} == {"cmpl-golden"}
    assert {piece["model"] for piece in chunks} == {"m-1"}
    assert all("usage" not in piece for piece in streamed(body))
    assert all(piece["choices"] for piece in streamed(body))


def test_the_offsets_of_logprobs_go_on_from_piece_to_piece() -> None:
    pieces = [chunk({"content": "天気"}, logprobs=TOKENS), chunk({"content": "天気"}, logprobs=TOKENS)]
    chunks = streamed(b"".join(pieces))
    assert [piece["choices"][0]["logprobs"]["text_offset"] for piece in chunks] == [[0, 1], [2, 3]]


def test_a_stream_without_its_mark_gets_one_and_nothing_comes_after_it() -> None:
    assert len(streamed(chunk({"content": "a"}))) == 1
    assert len(streamed(chunk({"content": "a"}) + DONE + chunk({"content": "b"}) + DONE)) == 1


def test_a_stream_may_come_byte_by_byte() -> None:
    stream = InboundCompletions().stream(asked())
    body = b": keep-alive\n\ndata: [1]\n\n" + chunk({"content": "天気"}) + chunk({}, finish_reason="stop") + DONE
    out = b"".join(map(stream.feed, bytewise(body))) + stream.close()
    assert "天気" in out.decode()
    assert out.endswith(DONE)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=10), at=places)
@settings(max_examples=100, deadline=None)
def test_whatever_a_chat_says_arrives(texts: list[str], at: list[int]) -> None:
    body = b"".join(chunk({"content": text}) for text in texts) + chunk({}, finish_reason="stop") + DONE
    chunks = streamed(body, at)
    assert "".join(piece["choices"][0]["text"] for piece in chunks) == "".join(texts)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_vendors_own_completions_are_measured_where_they_are_not_counted() -> None:
    native = OpenAIChat(path="/completions")
    body = b'{"object":"text_completion","model":"m-1","choices":[{"index":0,"text":"\xe5\xa4\xa9"}]}'
    assert native.response(body, asked()).output_chars == 3
    stream = native.stream(asked())
    stream.feed(b'data: {"choices":[{"index":0,"text":"","finish_reason":null}]}\n\n')
    assert not stream.content_seen
    stream.feed(b'data: {"choices":[{"index":0,"text":"\xe5\xa4\xa9","finish_reason":null}]}\n\n')
    assert (stream.content_seen, stream.output_chars) == (True, 3)
