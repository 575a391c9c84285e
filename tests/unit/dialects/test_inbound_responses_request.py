from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from processor.dialects.base import Asked
from processor.dialects.inbound_responses import InboundResponses
from processor.dialects.inbound_responses_items import call_detail
from processor.dialects.inbound_seal import sealed
from processor.errors import MalformedRequest
from processor.wire.json import decode, decode_fields, encode

JSON = dict[str, Any]

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'}
SIGNED = {"google": {"thought_signature": "t"}}
CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


def chat(request: JSON, *, drop_params: bool = False) -> JSON:
    asked = Asked(fields=decode_fields(encode(request)), model="m-1", drop_params=drop_params)
    return {name: decode(value) for name, value in InboundResponses().chat(asked).items()}


def messages(*items: JSON, drop_params: bool = False) -> list[JSON]:
    found: list[JSON] = chat({"input": list(items)}, drop_params=drop_params)["messages"]
    return found


def refused(request: JSON, *, drop_params: bool = False) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as error:
        chat(request, drop_params=drop_params)
    return error.value


def test_a_text_is_what_the_user_says_and_instructions_come_before_it() -> None:
    assert chat({"model": "m", "input": "Hello", "instructions": "Be short."}) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}],
    }


def test_parameters_are_said_in_a_chats_words() -> None:
    request = {
        "input": "Hello",
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u-1",
        "parallel_tool_calls": None,
        "reasoning": {"effort": "high", "summary": "detailed"},
        "text": {"verbosity": "low"},
        "top_logprobs": 3,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "metadata": {"a": "b"},
        "store": True,
        "background": False,
        "truncation": "disabled",
        "max_tool_calls": 3,
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "enable_search": True,
    }
    assert chat(request) == {
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u-1",
        "reasoning_effort": "high",
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 3,
        "stream": True,
        "enable_search": True,
    }


def test_logprobs_may_be_asked_for_without_alternatives() -> None:
    fields = chat({"input": "Hello", "include": ["message.output_text.logprobs"]})
    assert fields["logprobs"] is True
    assert "top_logprobs" not in fields


@pytest.mark.parametrize(
    ("text_format", "response_format"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "city", "schema": WEATHER, "strict": True, "description": None},
            {"type": "json_schema", "json_schema": {"name": "city", "schema": WEATHER, "strict": True}},
        ),
    ],
)
def test_a_format_becomes_a_response_format(text_format: JSON, response_format: JSON | None) -> None:
    assert chat({"input": "Hello", "text": {"format": text_format}}).get("response_format") == response_format


def test_functions_get_the_level_a_chat_gives_them() -> None:
    tools = [{"type": "function", "name": "weather", "description": "d", "parameters": WEATHER, "strict": None}]
    fields = chat({"input": "Hello", "tools": tools, "tool_choice": {"type": "function", "name": "weather"}})
    described = {"name": "weather", "description": "d", "parameters": WEATHER}
    assert fields["tools"] == [{"type": "function", "function": described}]
    assert fields["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


def test_of_allowed_tools_only_those_are_offered() -> None:
    tools = [{"type": "function", "name": name, "parameters": WEATHER} for name in ("weather", "time")]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]}
    fields = chat({"input": "Hello", "tools": tools, "tool_choice": allowed})
    assert [tool["function"]["name"] for tool in fields["tools"]] == ["time"]
    assert fields["tool_choice"] == "required"


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "file_search", "vector_store_ids": ["v"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "mac"},
        {"type": "mcp", "server_label": "s", "server_url": "https://s"},
        {"type": "custom", "name": "patch", "format": {"type": "text"}},
    ],
)
def test_a_built_in_tool_is_refused_by_its_place_or_left_out(tool: JSON) -> None:
    request = {"input": "Hello", "tools": [{"type": "function", "name": "f"}, tool], "tool_choice": "auto"}
    error = refused(request)
    assert error.param == "tools[1]"
    assert tool["type"] in error.message
    assert [found["function"]["name"] for found in chat(request, drop_params=True)["tools"]] == ["f"]


def test_without_a_tool_left_nothing_is_said_about_choosing_one() -> None:
    request = {"input": "Hi", "tools": [{"type": "web_search"}], "tool_choice": "auto", "parallel_tool_calls": True}
    assert chat(request, drop_params=True) == {"messages": [{"role": "user", "content": "Hi"}]}


def test_a_choice_of_a_built_in_tool_is_refused() -> None:
    request = {"input": "Hello", "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "file_search"}}
    assert refused(request).param == "tool_choice"
    assert "tool_choice" not in chat(request, drop_params=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", {"id": "conv_1"}),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
    ],
)
def test_what_needs_a_memory_is_refused_even_where_parameters_may_be_dropped(name: str, value: object) -> None:
    error = refused({"input": "Hello", name: value}, drop_params=True)
    assert error.param == name
    assert "keeps no state" in error.message


@pytest.mark.parametrize(("name", "value"), [("truncation", "auto"), ("context_management", [{"type": "compaction"}])])
def test_what_the_gateway_would_have_to_do_itself_is_refused_or_dropped(name: str, value: object) -> None:
    assert refused({"input": "Hello", name: value}).param == name
    assert name not in chat({"input": "Hello", name: value}, drop_params=True)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "input"),
        ({"input": 3}, "input"),
        ({"input": "a", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "a", "text": "b"}, "text"),
        ({"input": "a", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "a", "reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"input": [{"role": "critic", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "f"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "output": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]}, "input[0].type"),
        (
            {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gw1:!"}]},
            "input[0].encrypted_content",
        ),
    ],
)
def test_a_mistake_is_named_by_its_place(request_: JSON, param: str) -> None:
    assert refused(request_).param == param


def test_pictures_documents_and_sound_keep_their_places() -> None:
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "https://a/b.png", "detail": "high"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    assert messages({"type": "message", "role": "user", "content": content}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        }
    ]


def test_one_piece_of_text_becomes_a_string() -> None:
    item = {"role": "developer", "content": [{"type": "input_text", "text": "Be short."}]}
    assert messages(item) == [{"role": "developer", "content": "Be short."}]


def test_what_the_model_thought_said_and_called_is_one_message() -> None:
    details = [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1"}]
    found = messages(
        {"role": "user", "content": "Weather?"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": sealed([*details, call_detail("call_2", SIGNED)]),
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        CALL,
        {**CALL, "call_id": "call_2"},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "sun"}]},
    )
    second = {**CHAT_CALL, "id": "call_2", "extra_content": SIGNED}
    assert found == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "reasoning_details": details,
            "tool_calls": [CHAT_CALL, second],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
    ]


def test_messages_that_follow_each_other_stay_apart_and_a_refusal_is_what_was_said() -> None:
    found = messages(
        {"role": "assistant", "content": "One."},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    )
    assert found == [
        {"role": "assistant", "content": "One."},
        {"role": "assistant", "content": "No.", "reasoning_content": "Hm."},
    ]


def test_thinking_that_led_nowhere_is_no_message() -> None:
    assert messages(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"role": "user", "content": "Well?"},
    ) == [{"role": "user", "content": "Well?"}]


def test_thinking_that_openai_encrypted_is_kept_for_who_can_read_it() -> None:
    found = messages({"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}, CALL)
    detail = {"type": "reasoning.encrypted", "data": "gAAAA", "format": "openai-responses-v1"}
    assert found[0]["reasoning_details"] == [detail]


def test_items_of_built_in_tools_are_left_out_where_parameters_may_be_dropped() -> None:
    items = ({"type": "web_search_call", "id": "ws_1"}, {"role": "user", "content": "Hello"})
    assert messages(*items, drop_params=True) == [{"role": "user", "content": "Hello"}]


def test_sealed_details_are_ascii_and_hold_every_field() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x", "format": "f", "index": 0, "text": "天"}]
    seal = sealed(details)
    assert seal.isascii()
    assert decode(b64decode(seal.removeprefix("gw1:"))) == details
