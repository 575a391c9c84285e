from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.bedrock_converse import BedrockConverse
from processor.dialects.bedrock_rules import BEDROCK_RULES
from processor.domain import Operation
from processor.errors import MalformedRequest
from processor.wire.eventstream import EventStreamDecoder
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked
from tests.support.golden import GoldenCase, golden_cases

CASES = [case for case in golden_cases() if case.vendor == "bedrock" and case.operation is Operation.CHAT]

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NEWEST = "us.anthropic.claude-opus-4-7"
NOVA = "us.amazon.nova-pro-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {"name": "weather"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
CALLED: list[dict[str, Any]] = [
    *HELLO,
    {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "4 °C"},
]


@cache
def service() -> ServiceModel:
    """What AWS publishes of the API, and its own SDK works by."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


def complaints(value: Any, shape: str) -> str:
    """What AWS's SDK has against a value of a shape."""
    return str(ParamValidator().validate(value, service().shape_for(shape)).generate_report())


def body(model: str = CLAUDE, *, drop_params: bool = False, **fields: Any) -> dict[str, Any]:
    fields = {"messages": HELLO, **fields}
    request = BedrockConverse().request(asked(decode_fields(encode(fields)), model=model, drop_params=drop_params))
    sent: dict[str, Any] = decode(request.body)
    assert not complaints({"modelId": model, **sent}, "ConverseRequest")
    return sent


def refused(model: str = CLAUDE, **fields: Any) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as error:
        body(model, **fields)
    return error.value


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_sent_is_what_aws_sdk_would_let_pass(case: GoldenCase) -> None:
    assert not complaints({"modelId": case.model, **(case.upstream.body or {})}, "ConverseRequest")


@pytest.mark.parametrize("case", [case for case in CASES if not case.streams and case.client], ids=str)
def test_the_answers_of_the_golden_cases_are_of_aws_shape(case: GoldenCase) -> None:
    answer = decode(case.answer.body)
    answer["trace"] = {}  # its guardrail's assessments are of no concern
    assert not complaints(answer, "ConverseResponse")


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.streams and not (case.refused or case.malformed)], ids=str
)
def test_the_events_of_the_golden_cases_are_of_aws_shape(case: GoldenCase) -> None:
    events = service().shape_for("ConverseStreamOutput").members
    for one in EventStreamDecoder().feed(case.answer.body):
        payload = decode(one.payload)
        payload.pop("p", None)  # padding, of which the published shape says nothing
        name = one.text(":event-type") or one.text(":exception-type")
        assert not complaints(payload, events[name].name)


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (CLAUDE, {"n": 2}, "n"),
        (CLAUDE, {"seed": 7}, "seed"),
        (CLAUDE, {"logprobs": True}, "logprobs"),
        (CLAUDE, {"presence_penalty": 1}, "presence_penalty"),
        (CLAUDE, {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        (CLAUDE, {"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0]"),
        (CLAUDE, {"response_format": {"type": "grammar"}}, "response_format.type"),
        (CLAUDE, {"reasoning_effort": "extreme"}, "reasoning_effort"),
        (NOVA, {"reasoning_effort": "low"}, "reasoning_effort"),
        (NOVA, {"tools": [WEATHER], "parallel_tool_calls": False}, "parallel_tool_calls"),
        (LLAMA, {"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        (LLAMA, {"response_format": SCHEMA}, "response_format"),
        (NEWEST, {"temperature": 0.5}, "temperature"),
        (NEWEST, {"top_p": 0.5}, "top_p"),
        (NEWEST, {"top_k": 5}, "top_k"),
        (CLAUDE, {"temperature": 0.5, "top_p": 0.5}, "top_p"),
        (CLAUDE, {"reasoning_effort": "low", "temperature": 0.5}, "temperature"),
        (CLAUDE, {"reasoning_effort": "low", "top_k": 5}, "top_k"),
        (CLAUDE, {"reasoning_effort": "low", "max_tokens": 1024}, "reasoning_effort"),
        (CLAUDE, {"reasoning_effort": "low", "tools": [WEATHER], "tool_choice": "required"}, "reasoning_effort"),
        (CLAUDE, {"reasoning_effort": "low", "response_format": {"type": "json_object"}}, "reasoning_effort"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_its_name(model: str, fields: dict[str, Any], param: str) -> None:
    assert refused(model, **fields).param == param


@pytest.mark.parametrize(
    ("model", "fields", "kept"),
    [
        (CLAUDE, {"n": 2, "seed": 7}, {}),
        (NOVA, {"reasoning_effort": "low"}, {}),
        (CLAUDE, {"temperature": 0.5, "top_p": 0.5}, {"inferenceConfig": {"temperature": 0.5}}),
        (NEWEST, {"temperature": 0.5, "top_p": 0.5, "top_k": 5}, {}),
        (CLAUDE, {"reasoning_effort": "low", "max_tokens": 9}, {"inferenceConfig": {"maxTokens": 9}}),
        (LLAMA, {"response_format": SCHEMA}, {}),
    ],
)
def test_what_a_model_cannot_do_is_left_out_where_that_is_configured(
    model: str, fields: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert body(model, drop_params=True, **fields) == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        **kept,
    }


@pytest.mark.parametrize(
    ("model", "asked_for", "sent"),
    [
        (NOVA, (1.5, 1), {"temperature": 1.0, "topP": 1.0}),
        (NOVA, (0.2, 0.3), {"temperature": 0.2, "topP": 0.3}),
        (CLAUDE, (1, 1), {"temperature": 1.0}),
        (CLAUDE, (0.2, 1), {"temperature": 0.2}),
        (CLAUDE, (1, 0.2), {"topP": 0.2}),
        (NEWEST, (1, 1), {"temperature": 1.0}),
    ],
)
def test_newer_claudes_are_told_one_way_of_sampling(
    model: str, asked_for: tuple[float, float], sent: dict[str, float]
) -> None:
    temperature, top_p = asked_for
    assert body(model, temperature=temperature, top_p=top_p)["inferenceConfig"] == sent


def test_a_tool_choice_that_is_left_out_leaves_the_tools() -> None:
    sent = body(LLAMA, drop_params=True, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    assert sent["toolConfig"].keys() == {"tools"}


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,cat"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "s3://bucket/cat"}}, "image_url.url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}}, "file.file_data"),
        ({"type": "video_url"}, "type"),
    ],
)
def test_a_part_that_converse_cannot_take_is_refused_by_its_place(part: dict[str, Any], param: str) -> None:
    error = refused(messages=[{"role": "user", "content": [{"type": "text", "text": "See"}, part]}])
    assert error.param == f"messages[0].content[1].{param}"


def test_a_picture_behind_a_url_is_refused_with_the_way_out() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    assert "send a data URL" in refused(messages=[{"role": "user", "content": [part]}]).message


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


def test_a_document_is_known_by_its_name_where_its_type_tells_nothing() -> None:
    file = {"file_data": "data:application/octet-stream;base64,AA==", "filename": "a__b  c.md"}
    sent = body(messages=[{"role": "user", "content": [{"type": "file", "file": file}]}])
    assert sent["messages"][0]["content"][0]["document"] == {
        "format": "md",
        "name": "a b c",
        "source": {"bytes": "AA=="},
    }


def test_a_stop_that_is_a_text_becomes_a_list() -> None:
    assert body(stop="END")["inferenceConfig"] == {"stopSequences": ["END"]}


def test_one_call_at_a_time_is_asked_for_where_converse_takes_it() -> None:
    chosen = body(tools=[WEATHER], parallel_tool_calls=False)
    assert "toolChoice" not in chosen["toolConfig"]
    assert chosen["additionalModelRequestFields"] == {
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}
    }
    assert "additionalModelRequestFields" not in body(parallel_tool_calls=False)


def test_no_tool_choice_is_told_without_tools() -> None:
    assert "toolConfig" not in body(tools=[WEATHER], tool_choice="none")
    assert "toolConfig" not in body(tool_choice="required")


def test_tools_stay_beside_calls_that_were_made_and_are_not_to_be_called() -> None:
    sent = body(messages=CALLED, tools=[WEATHER], tool_choice="none")
    assert [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]] == ["weather"]
    assert sent["system"] == [{"text": "Do not call any tool now. Answer in text."}]


def test_a_tool_by_name_goes_before_the_tool_that_takes_the_answer() -> None:
    chosen = {"type": "function", "function": {"name": "weather"}}
    sent = body(NOVA, tools=[WEATHER], tool_choice=chosen, response_format=SCHEMA)
    assert sent["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}
    assert len(sent["toolConfig"]["tools"]) == 1


def test_claude_does_not_think_on_after_a_call_whose_thinking_was_not_given_back() -> None:
    """As any client does that knows no `reasoning_details`: Anthropic would refuse the request."""
    assert "additionalModelRequestFields" not in body(messages=CALLED, tools=[WEATHER], reasoning_effort="low")
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1"}
    given = [CALLED[0], {**CALLED[1], "reasoning_details": [detail]}, CALLED[2]]
    assert body(messages=given, tools=[WEATHER], reasoning_effort="low")["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 2048}
    }


def test_adaptive_thinking_needs_no_thinking_before_a_call() -> None:
    sent = body(NEWEST, messages=CALLED, tools=[WEATHER], reasoning_effort="minimal")
    assert sent["additionalModelRequestFields"] == {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low"},
    }


def test_another_vendors_thinking_is_not_sent() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "google-gemini-v1"},
        {"type": "reasoning.text", "text": "unsigned"},
    ]
    sent = body(messages=[*HELLO, {"role": "assistant", "content": "Hi", "reasoning_details": details}, *HELLO])
    assert sent["messages"][1]["content"] == [{"text": "Hi"}]


def test_an_id_of_another_vendors_is_fitted_by_its_end() -> None:
    id_ = "call:" + "x" * 64 + "|fc.1"
    messages = [
        {"role": "assistant", "tool_calls": [{"id": id_, "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": id_, "content": "4"},
    ]
    call, result = (turn["content"][0] for turn in body(messages=messages)["messages"])
    assert call["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"] == "x" * 59 + "_fc_1"


def test_cache_points_are_left_out_where_a_model_takes_none() -> None:
    cached = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": [cached]}, {"role": "user", "content": [cached]}]
    tool = {**WEATHER, "cache_control": {"type": "ephemeral"}}
    assert b"cachePoint" not in encode(body(LLAMA, messages=messages, tools=[tool]))
    assert encode(body(NOVA, messages=messages, tools=[tool])).count(b"cachePoint") == 2
    assert encode(body(CLAUDE, messages=messages, tools=[tool])).count(b"cachePoint") == 3


@pytest.mark.parametrize(
    ("model", "thinks", "schema", "samples"),
    [
        ("anthropic.claude-v2:1", False, False, True),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", False, False, True),
        ("eu.anthropic.claude-3-7-sonnet-20250219-v1:0", True, False, True),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", True, False, True),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", True, False, True),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", True, True, True),
        ("anthropic.claude-opus-4-6-v1", True, True, True),
        ("anthropic.claude-opus-4-7", True, True, False),
        ("us.anthropic.claude-opus-5", True, True, False),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0", True, True, True),
        ("amazon.nova-lite-v1:0", False, False, True),
        ("US.amazon.NOVA-2-lite-v1:0", True, False, True),
        ("openai.gpt-oss-20b-1:0", True, True, True),
        ("qwen.qwen3-32b-v1:0", False, True, True),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", False, False, True),
    ],
)
def test_a_model_is_known_by_its_family(model: str, thinks: bool, schema: bool, samples: bool) -> None:
    family = BEDROCK_RULES.of(model)
    assert (bool(family.efforts), family.schema, family.sampling) == (thinks, schema, samples)


_text = st.text(max_size=5)
_user = st.builds(lambda text: {"role": "user", "content": text}, _text)
_system = st.builds(lambda text: {"role": "system", "content": text}, _text)
_assistant = st.builds(lambda text: {"role": "assistant", "content": text}, _text)
_loop = st.builds(
    lambda text, ids: [
        {
            "role": "assistant",
            "content": text,
            "tool_calls": [{"id": id_, "function": {"name": "f", "arguments": "{}"}} for id_ in ids],
        },
        *({"role": "tool", "tool_call_id": id_, "content": text} for id_ in ids),
    ],
    _text,
    st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=3),
)
_talk = st.lists(
    st.one_of(_user.map(lambda one: [one]), _system.map(lambda one: [one]), _assistant.map(lambda one: [one]), _loop)
)


@given(talk=_talk)
@settings(max_examples=150, deadline=None)
def test_any_conversation_alternates_and_keeps_its_calls_and_results(talk: list[list[dict[str, Any]]]) -> None:
    messages = [message for turn in talk for message in turn]
    sent = body(messages=messages)
    roles = [turn["role"] for turn in sent["messages"]]
    assert all(first != second for first, second in pairwise(roles))
    blocks = [block for turn in sent["messages"] for block in turn["content"]]
    assert all(block["text"].strip() for block in blocks if "text" in block)
    calls = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
    results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
    assert calls == results
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", id_) for id_ in calls)
    assert len(calls) == sum(message["role"] == "tool" for message in messages)
