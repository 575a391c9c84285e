from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processor.dialects.anthropic_messages import AnthropicMessages
from processor.dialects.anthropic_rules import ANTHROPIC_RULES
from processor.domain import Operation
from processor.errors import MalformedRequest
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked
from tests.support.golden import GoldenCase, golden_cases

CASES = [case for case in golden_cases() if case.vendor == "anthropic" and case.operation is Operation.CHAT]
WHOLE = TypeAdapter(MessageCreateParamsNonStreaming)
STREAMED = TypeAdapter(MessageCreateParamsStreaming)

CLAUDE = "claude-sonnet-4-5"
OLD = "claude-3-5-haiku-20241022"
ADAPTIVE = "claude-opus-4-6"
NEWEST = "claude-opus-5-5"

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {"name": "weather"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
DETAIL = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1"}
CALLED: list[dict[str, Any]] = [
    *HELLO,
    {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "4 °C"},
]


def body(model: str = CLAUDE, *, drop_params: bool = False, **fields: Any) -> dict[str, Any]:
    fields = {"messages": HELLO, **fields}
    request = AnthropicMessages().request(asked(decode_fields(encode(fields)), model=model, drop_params=drop_params))
    sent: dict[str, Any] = decode(request.body)
    WHOLE.validate_python(sent)
    return sent


def refused(model: str = CLAUDE, **fields: Any) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as error:
        body(model, **fields)
    return error.value


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_sent_is_of_the_sdks_shape(case: GoldenCase) -> None:
    (STREAMED if case.streams else WHOLE).validate_python(case.upstream.body)


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (CLAUDE, {"n": 2}, "n"),
        (CLAUDE, {"seed": 7}, "seed"),
        (CLAUDE, {"logprobs": True}, "logprobs"),
        (CLAUDE, {"top_logprobs": 2}, "top_logprobs"),
        (CLAUDE, {"presence_penalty": 1}, "presence_penalty"),
        (CLAUDE, {"frequency_penalty": 0.5}, "frequency_penalty"),
        (CLAUDE, {"logit_bias": {"7": 1}}, "logit_bias"),
        (CLAUDE, {"modalities": ["text", "audio"]}, "modalities"),
        (CLAUDE, {"temperature": 0.5, "top_p": 0.5}, "top_p"),
        (CLAUDE, {"reasoning_effort": "low", "temperature": 0.5}, "temperature"),
        (CLAUDE, {"reasoning_effort": "low", "top_p": 0.5}, "top_p"),
        (CLAUDE, {"reasoning_effort": "low", "top_k": 5}, "top_k"),
        (NEWEST, {"temperature": 0.5}, "temperature"),
        (NEWEST, {"top_p": 0.99}, "top_p"),
        (NEWEST, {"top_k": 5}, "top_k"),
        (NEWEST, {"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        (NEWEST, {"tools": [WEATHER], "tool_choice": WEATHER}, "tool_choice"),
        (CLAUDE, {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        (CLAUDE, {"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0]"),
        (CLAUDE, {"response_format": {"type": "grammar"}}, "response_format.type"),
        (CLAUDE, {"thinking": 5}, "thinking"),
        (CLAUDE, {"output_config": "high", "reasoning_effort": "low"}, "output_config"),
        (CLAUDE, {"max_tokens": "many"}, "max_tokens"),
    ],
)
def test_what_claude_cannot_do_is_refused_by_its_name(model: str, fields: dict[str, Any], param: str) -> None:
    assert refused(model, **fields).param == param


@pytest.mark.parametrize(
    ("model", "fields", "kept"),
    [
        (CLAUDE, {"n": 2, "seed": 7, "logprobs": True, "logit_bias": {"7": 1}, "presence_penalty": 1}, {}),
        (CLAUDE, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}),
        (OLD, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}),
        (NEWEST, {"temperature": 0.5, "top_p": 0.5, "top_k": 5}, {}),
    ],
)
def test_what_claude_cannot_do_is_left_out_where_that_is_configured(
    model: str, fields: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert body(model, drop_params=True, max_tokens=9, **fields) == {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        **kept,
    }


def test_a_forced_tool_that_is_left_out_leaves_the_tools() -> None:
    sent = body(NEWEST, drop_params=True, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    assert len(sent["tools"]) == 1
    assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("effort", ["extreme", "low"])
def test_an_effort_that_a_model_does_not_know_is_no_more_than_a_hint(effort: str) -> None:
    assert "thinking" not in body(OLD if effort == "low" else CLAUDE, reasoning_effort=effort)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,cat"}}, "image_url.url"),
        ({"type": "image_url"}, ""),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "file", "file": {"file_data": "AA=="}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "file.file_data"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "type"),
    ],
)
def test_a_part_that_claude_cannot_take_is_refused_by_its_place(part: dict[str, Any], param: str) -> None:
    error = refused(messages=[{"role": "user", "content": [{"type": "text", "text": "See"}, part]}])
    assert error.param == "messages[0].content[1]" + (f".{param}" if param else "")


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "narrator", "content": "Once"}, "messages[0].role"),
        ({"role": "tool", "content": "4"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages[0].tool_calls[0]"),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[1]"}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"role": "system", "content": [{"type": "image_url"}]}, "messages[0].content[0]"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_by_its_place(message: dict[str, Any], param: str) -> None:
    assert refused(messages=[message]).param == param


def test_a_limit_of_none_warms_the_cache() -> None:
    assert body(max_tokens=0)["max_tokens"] == 0


def test_thinking_is_not_asked_for_after_a_call_whose_thinking_was_not_given_back() -> None:
    """As any client does that knows no `reasoning_details`: Anthropic would refuse the request."""
    assert "thinking" not in body(messages=CALLED, tools=[WEATHER], reasoning_effort="low")
    given = [CALLED[0], {**CALLED[1], "reasoning_details": [DETAIL]}, CALLED[2]]
    assert body(messages=given, tools=[WEATHER], reasoning_effort="low")["thinking"]["budget_tokens"] == 2048
    assert body(ADAPTIVE, messages=CALLED, tools=[WEATHER], reasoning_effort="low")["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    ("model", "detail", "kept"),
    [
        (CLAUDE, DETAIL, [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]),
        (CLAUDE, {**DETAIL, "text": ""}, [{"type": "thinking", "thinking": "", "signature": "s"}]),
        (CLAUDE, {**DETAIL, "format": "google-gemini-v1"}, []),
        (CLAUDE, {"type": "reasoning.text", "text": "unsigned"}, []),
        (CLAUDE, {"type": "reasoning.encrypted", "data": "d"}, [{"type": "redacted_thinking", "data": "d"}]),
        (OLD, DETAIL, []),
    ],
)
def test_only_thinking_that_claude_knows_again_is_sent(
    model: str, detail: dict[str, Any], kept: list[dict[str, Any]]
) -> None:
    said = {"role": "assistant", "content": "Hi", "reasoning_details": [detail]}
    sent = body(model, messages=[*HELLO, said, *HELLO])
    assert sent["messages"][1]["content"] == [*kept, {"type": "text", "text": "Hi"}]


def test_an_answer_to_go_on_with_ends_in_no_space_and_holds_no_thinking() -> None:
    said = {"role": "assistant", "content": "The answer is \n", "reasoning_details": [DETAIL]}
    assert body(messages=[*HELLO, said])["messages"][1]["content"] == [{"type": "text", "text": "The answer is"}]


def test_a_refusal_is_told_where_there_is_no_other_content() -> None:
    sent = body(messages=[*HELLO, {"role": "assistant", "content": None, "refusal": "No."}, *HELLO])
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "No."}]


def test_a_tool_by_name_goes_before_the_form_of_the_answer() -> None:
    sent = body(OLD, tools=[WEATHER], tool_choice=WEATHER, response_format=SCHEMA)
    assert sent["tool_choice"] == {"type": "tool", "name": "weather"}
    assert [tool["name"] for tool in sent["tools"]] == ["weather"]
    assert "JSON schema" in sent["system"]


@pytest.mark.parametrize(
    ("model", "strict"), [(OLD, None), (CLAUDE, True)], ids=["a model that knows no strict tools", "one that does"]
)
def test_a_tool_is_strict_where_the_model_can_do_it(model: str, strict: bool | None) -> None:
    tool = {"type": "function", "function": {"name": "now", "strict": True, "parameters": {"type": "object"}}}
    assert body(model, tools=[tool])["tools"][0].get("strict") is strict


def test_a_strict_tool_with_open_objects_is_a_plain_one() -> None:
    parameters = {"type": "object", "properties": {"any": {}}}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": parameters}}
    assert body(tools=[tool])["tools"] == [{"name": "f", "input_schema": parameters}]


@pytest.mark.parametrize("model", ["claude-opus-4-0", "claude-opus-4-1", "claude-3-7-sonnet-latest", "qwen3"])
@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("limit", [None, 1025, 5000, 100_000])
def test_a_budget_is_below_the_limit(model: str, effort: str, limit: int | None) -> None:
    sent = body(model, reasoning_effort=effort, max_tokens=limit)
    assert 1024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"]
    assert sent["max_tokens"] == limit or (limit is None and sent["max_tokens"] <= ANTHROPIC_RULES.of(model).longest)


@pytest.mark.parametrize(
    ("model", "thinks", "schema", "samples", "longest"),
    [
        ("claude-2.1", False, False, True, 64000),
        ("claude-3-opus-20240229", False, False, True, 64000),
        ("claude-3-5-sonnet-20240620", False, False, True, 64000),
        ("claude-3-7-sonnet-20250219", True, False, True, 64000),
        ("claude-sonnet-4-20250514", True, False, True, 64000),
        ("claude-opus-4-20250514", True, False, True, 32000),
        ("claude-opus-4-1-20250805", True, False, True, 32000),
        ("claude-opus-4-5-20251101", True, True, True, 64000),
        ("Claude-Opus-4-6", True, True, True, 128000),
        ("claude-opus-4-8", True, True, False, 128000),
        ("claude-mythos-preview", True, True, False, 128000),
        ("claude-sonnet-6", True, True, False, 128000),
        ("MiniMax-M2", True, False, True, 64000),
    ],
)
def test_a_model_is_known_by_its_family(model: str, thinks: bool, schema: bool, samples: bool, longest: int) -> None:
    family = ANTHROPIC_RULES.of(model)
    found = (bool(family.efforts), family.schema, family.sampling, family.longest)
    assert found == (thinks, schema, samples, longest)


_text = st.text(max_size=5)
_user = st.builds(lambda text: [{"role": "user", "content": text}], _text)
_system = st.builds(
    lambda role, text: [{"role": role, "content": text}], st.sampled_from(["system", "developer"]), _text
)
_assistant = st.builds(lambda text: [{"role": "assistant", "content": text}], _text)
_arguments = st.dictionaries(_text, st.one_of(_text, st.integers(-9, 9), st.none()), max_size=2)
_loop = st.builds(
    lambda text, calls, cut_in: [
        {
            "role": "assistant",
            "content": text,
            "tool_calls": [
                {"id": id_, "function": {"name": "f", "arguments": encode(arguments).decode()}}
                for id_, arguments in calls.items()
            ],
        },
        *([{"role": "user", "content": "Wait!"}] if cut_in else []),
        *({"role": "tool", "tool_call_id": id_, "content": text} for id_ in calls),
    ],
    _text,
    st.dictionaries(st.text(min_size=1, max_size=8), _arguments, min_size=1, max_size=3),
    st.booleans(),
)
_talk = st.lists(st.one_of(_user, _system, _assistant, _loop), max_size=8)


def texts(turns: list[dict[str, Any]], role: str) -> list[str]:
    blocks = [block for turn in turns if turn["role"] == role for block in turn["content"]]
    return [block["text"] for block in blocks if block["type"] == "text"]


@given(talk=_talk)
@settings(max_examples=200, deadline=None)
def test_all_that_was_said_is_told_in_turns(talk: list[list[dict[str, Any]]]) -> None:
    messages = [message for part in talk for message in part] + [{"role": "user", "content": "Go on"}]
    sent = body(messages=messages)
    turns = sent["messages"]
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))
    for role in ("user", "assistant"):
        said = [message["content"] for message in messages if message["role"] == role]
        assert texts(turns, role) == [text for text in said if text.strip()]
    system = sent.get("system", [])
    told = [system] if isinstance(system, str) else [block["text"] for block in system]
    assert told == [
        one["content"] for one in messages if one["role"] in ("system", "developer") and one["content"].strip()
    ]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    uses = [block for turn in turns for block in turn["content"] if block["type"] == "tool_use"]
    assert [use["input"] for use in uses] == [decode(call["function"]["arguments"].encode()) for call in calls]
    assert [use["id"] for use in uses] == [re.sub("[^a-zA-Z0-9_-]", "_", call["id"]) for call in calls]


@given(talk=_talk)
@settings(max_examples=100, deadline=None)
def test_a_tools_results_stand_first_in_the_turn_after_its_calls(talk: list[list[dict[str, Any]]]) -> None:
    turns = body(messages=[message for part in talk for message in part] + HELLO)["messages"]
    for before, turn in pairwise([{"content": []}, *turns]):
        kinds = [block["type"] for block in turn["content"]]
        assert kinds == sorted(kinds, key=lambda kind: turn["role"] == "user" and kind != "tool_result")
        results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        assert results == [block["id"] for block in before["content"] if block["type"] == "tool_use"]
