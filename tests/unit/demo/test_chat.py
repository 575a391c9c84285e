from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.demo import chat, texts
from processor.demo.chat_request import ChatRequest
from processor.errors import MalformedRequest
from processor.wire.json import JSON, decode

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "note": {"type": "string"}},
            "required": ["city", "unit"],
        },
    },
}
FORCED = {"type": "function", "function": {"name": "weather"}}


def answer(**fields: object) -> chat.Answer:
    body = {"messages": [{"role": "user", "content": "Hello there"}], **fields}
    return chat.answer(msgspec.convert(body, ChatRequest), id="chatcmpl-1", created=7)


def content(answer: chat.Answer, index: int = 0) -> str:
    text = chat.whole(answer)["choices"][index]["message"]["content"]
    assert isinstance(text, str)
    return text


def test_an_answer_says_it_is_a_demo_what_was_said_and_how_to_get_a_real_one() -> None:
    whole = chat.whole(answer())
    assert (whole["model"], whole["system_fingerprint"], whole["object"]) == ("demo-chat", "demo", "chat.completion")
    text = content(answer())
    assert "demo vendor" in text
    assert "Hello there" in text
    assert "DEEPSEEK_API_KEY" in text
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_a_chinese_message_is_answered_in_chinese() -> None:
    text = content(answer(messages=[{"role": "user", "content": "你好，帮我写一首诗"}]))
    assert "演示供应商" in text
    assert "你好，帮我写一首诗" in text
    assert "DEEPSEEK_API_KEY" in text


def test_the_last_thing_the_user_said_is_quoted_from_among_all_messages_and_parts() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First question"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "Second"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": "Third"},
    ]
    text = content(answer(messages=messages))
    assert "“Second”" in text
    assert "First question" not in text
    assert "Third" not in text


def test_a_long_message_is_quoted_in_part() -> None:
    text = content(answer(messages=[{"role": "user", "content": "x" * 100_000}]))
    assert len(text) < 1_500
    assert "…" in text


def test_usage_counts_input_and_output_and_adds_up() -> None:
    usage = answer().usage()
    longer = answer(messages=[{"role": "user", "content": "Hello there " * 50}]).usage()
    assert 0 < usage["prompt_tokens"] < longer["prompt_tokens"]
    assert 20 < usage["completion_tokens"] < 100
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_the_answer_and_says_so(name: str) -> None:
    cut = answer(**{name: 5})
    assert chat.whole(cut)["choices"][0]["finish_reason"] == "length"
    assert cut.usage()["completion_tokens"] == 5
    assert content(answer()).startswith(content(cut))


def test_several_choices_each_have_an_answer_and_are_paid_for() -> None:
    three = answer(n=3)
    assert [choice["index"] for choice in chat.whole(three)["choices"]] == [0, 1, 2]
    assert len({content(three, index) for index in range(3)}) == 3
    assert three.usage()["completion_tokens"] >= 3 * answer().usage()["completion_tokens"]


@pytest.mark.parametrize("choice", ["required", FORCED])
def test_a_forced_tool_is_called_with_arguments_that_fit_its_schema(choice: object) -> None:
    whole = chat.whole(answer(tools=[WEATHER], tool_choice=choice))["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    assert whole["message"]["content"] is None
    [call] = whole["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "weather"
    assert decode(call["function"]["arguments"].encode()) == {"city": "demo", "unit": "C"}


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_tool_that_is_only_offered_is_not_called(choice: str | None) -> None:
    assert "demo vendor" in content(answer(tools=[WEATHER], tool_choice=choice))


@pytest.mark.parametrize("tools", [None, [], [{"type": "function", "function": {"name": "other"}}]])
def test_forcing_a_tool_that_was_not_given_is_refused(tools: object) -> None:
    with pytest.raises(MalformedRequest) as caught:
        answer(tools=tools, tool_choice=FORCED)
    assert caught.value.param == "tool_choice"


def test_json_mode_answers_an_object_that_says_it_is_a_demo() -> None:
    value = decode(content(answer(response_format={"type": "json_object"})).encode())
    assert value["demo"] is True
    assert value["you_said"] == "Hello there"


def test_a_json_schema_is_answered_with_a_value_that_fits_it() -> None:
    schema = {"type": "object", "properties": {"steps": {"type": "array", "items": {"type": "integer"}}}}
    form = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}}
    assert decode(content(answer(response_format=form)).encode()) == {"steps": [1]}


def joined(events: list[JSON], index: int) -> JSON:
    """What a client makes of one choice's chunks."""
    made: JSON = {"content": "", "arguments": "", "roles": [], "calls": [], "finish": []}
    for event in events:
        for choice in event["choices"]:
            if choice["index"] != index:
                continue
            delta = choice["delta"]
            made["roles"] += [delta["role"]] if "role" in delta else []
            made["content"] += delta.get("content") or ""
            for call in delta.get("tool_calls", []):
                made["calls"] += [(call["id"], call["function"]["name"])] if "id" in call else []
                made["arguments"] += call["function"]["arguments"]
            made["finish"] += [choice["finish_reason"]] if choice["finish_reason"] else []
    return made


@pytest.mark.parametrize("fields", [{}, {"max_tokens": 3}, {"n": 2}])
def test_the_chunks_of_a_stream_add_up_to_the_whole_answer(fields: JSON) -> None:
    made = answer(**fields)
    events = list(chat.chunks(made, include_usage=False))
    assert all(event["object"] == "chat.completion.chunk" and event["model"] == "demo-chat" for event in events)
    assert not any("usage" in event for event in events)
    for index, choice in enumerate(chat.whole(made)["choices"]):
        got = joined(events, index)
        assert got["content"] == choice["message"]["content"]
        assert (got["roles"], got["finish"]) == (["assistant"], [choice["finish_reason"]])


def test_the_chunks_of_a_tool_call_add_up_to_the_whole_one() -> None:
    made = answer(tools=[WEATHER], tool_choice="required")
    [call] = chat.whole(made)["choices"][0]["message"]["tool_calls"]
    got = joined(list(chat.chunks(made, include_usage=False)), 0)
    assert got["calls"] == [(call["id"], "weather")]
    assert got["arguments"] == call["function"]["arguments"]
    assert got["finish"] == ["tool_calls"]


def test_usage_comes_last_in_a_stream_that_asked_for_it_and_is_null_before() -> None:
    made = answer()
    *before, last = chat.chunks(made, include_usage=True)
    assert all(event["usage"] is None for event in before)
    assert (last["choices"], last["usage"]) == ([], made.usage())


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(texts.pieces(text)) == text


def test_english_is_cut_into_words_and_chinese_into_characters() -> None:
    assert texts.pieces("one two, 三四。") == ("one", " two,", " 三", "四", "。")


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("你好", True),
        ("用 Python 写一个快速排序", True),
        ("hello", False),
        ("What does 你好 mean in English, please?", False),
        ("こんにちは、東京の天気は?", False),
        ("안녕하세요 漢字", False),
        ("", False),
    ],
)
def test_the_language_of_a_message_is_told(text: str, chinese: bool) -> None:
    assert texts.is_chinese(text) is chinese
