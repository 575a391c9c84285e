from __future__ import annotations

from typing import Any

import pytest

from processor.dialects.base import Asked
from processor.dialects.inbound_messages import InboundMessages
from processor.errors import MalformedRequest
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked

JSON = dict[str, Any]

HELLO = [{"role": "user", "content": "Hello"}]
TOOL: JSON = {"name": "f", "input_schema": {"type": "object"}}
SEARCH: JSON = {"type": "web_search_20250305", "name": "web_search"}
PNG: JSON = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PICTURE: JSON = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def request(*, drop_params: bool = False, **fields: Any) -> Asked:
    body = {"messages": HELLO, **fields}
    return asked(decode_fields(encode(body)), drop_params=drop_params)


def chat(*, drop_params: bool = False, **fields: Any) -> JSON:
    found = InboundMessages().chat(request(drop_params=drop_params, **fields))
    return {name: decode(value) for name, value in found.items() if name != "messages"}


def messages(*turns: JSON, **fields: Any) -> list[JSON]:
    found: list[JSON] = decode(InboundMessages().chat(request(messages=turns, **fields))["messages"])
    return found


def said(*blocks: JSON, role: str = "user", **fields: Any) -> Any:
    [message] = messages({"role": role, "content": blocks}, **fields)
    return message["content"]


def refusal(**fields: Any) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as refused:
        InboundMessages().chat(request(**fields))
    return refused.value


@pytest.mark.parametrize(
    ("asks", "becomes"),
    [
        ({"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40}, None),
        ({"model": "m", "stream": True}, None),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"temperature": None, "thinking": None, "tools": None, "metadata": None, "container": None}, {}),
        ({"metadata": {"user_id": "user-1"}}, {"user": "user-1"}),
        ({"metadata": {}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"cache_control": {"type": "ephemeral"}, "context_management": {"edits": []}, "speed": "fast"}, {}),
        ({"mcp_servers": []}, {}),
    ],
)
def test_what_a_chat_has_too_is_asked_under_its_name(asks: JSON, becomes: JSON | None) -> None:
    assert chat(**asks) == (asks if becomes is None else becomes)


@pytest.mark.parametrize(
    ("asks", "effort"),
    [
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high"),
        ({"thinking": {"type": "adaptive"}}, "medium"),
        ({"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}}, "max"),
        ({"output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_thinking_is_asked_for_by_its_effort(asks: JSON, effort: str) -> None:
    assert chat(**asks) == {"reasoning_effort": effort}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}}, "required": 1, "additionalProperties": False}, False),
        ({"$defs": {"b": {"type": "object", "properties": {"a": {}}}}, "type": "array"}, False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
    ],
)
def test_a_schema_is_strict_where_openai_would_take_it_so(schema: JSON, strict: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strict}}
    wanted = {"type": "json_schema", "schema": schema}
    assert chat(output_config={"format": wanted}) == {"response_format": form}
    assert chat(output_format=wanted) == {"response_format": form}


def test_a_schema_nested_beyond_reason_is_not_followed_to_its_end() -> None:
    schema: JSON = {}
    for _ in range(300):
        schema = {"items": schema}
    found = chat(output_format={"type": "json_schema", "schema": schema})
    assert found["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize("user", ['{"device_id":"d"}', "u" * 65, "short", "张三张三张三"])
def test_a_user_that_vendors_refuse_is_told_as_a_digest(user: str) -> None:
    digest = chat(metadata={"user_id": user})["user"]
    assert len(digest) == 64
    assert int(digest, 16)
    assert digest == chat(metadata={"user_id": user})["user"] != chat(metadata={"user_id": user + "."})["user"]


@pytest.mark.parametrize(
    ("choice", "becomes"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_the_choice_of_a_tool_keeps_its_meaning(choice: JSON, becomes: JSON) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert chat(tools=[TOOL], tool_choice=choice) == {"tools": tools, **becomes}


def test_a_choice_without_tools_is_no_choice() -> None:
    assert chat(tools=[], tool_choice={"type": "auto"}) == {}
    assert chat(tools=[SEARCH], tool_choice={"type": "any"}, drop_params=True) == {}


def test_a_tool_keeps_its_description_and_schema_and_loses_its_caching() -> None:
    tool = {**TOOL, "type": "custom", "description": "d", "strict": True, "cache_control": {"type": "ephemeral"}}
    [found] = chat(tools=[tool])["tools"]
    assert found["function"] == {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    ("asks", "param"),
    [
        ({"tools": [TOOL, SEARCH]}, "tools[1]"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"made_up": 1}, "made_up"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
        ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
        ({"metadata": 1}, "metadata"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": {}}]}]},
            "messages[0].content[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c"}]}]},
            "messages[0].content[0].name",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "gw1:?"}]}]},
            "messages[0].content[0].data",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "thinking", "signature": "gw1:W10="}]}]},
            "messages[0].content[0].signature",
        ),
        ({"system": [PNG]}, "system[0]"),
    ],
)
def test_what_has_no_place_in_a_chat_is_refused_by_name(asks: JSON, param: str) -> None:
    assert refusal(**asks).param == param


def test_what_has_no_place_in_a_chat_is_dropped_if_that_was_configured() -> None:
    assert chat(drop_params=True, tools=[SEARCH], mcp_servers=[{}], container="c", made_up=1) == {}
    turns = [
        {"role": "user", "content": [{"type": "container_upload"}, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "server_tool_use", "input": {}}, {"type": "text", "text": "Ho"}]},
    ]
    found = InboundMessages().chat(request(messages=turns, drop_params=True))["messages"]
    assert decode(found) == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]


def test_the_system_prompt_is_the_first_message_and_others_stay_in_their_place() -> None:
    late = {"role": "system", "content": [{"type": "text", "text": "Late."}]}
    found = messages(*HELLO, late, system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B"}])
    assert found == [
        {"role": "system", "content": "A\n\nB"},
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "Late."},
    ]
    assert messages(*HELLO, system="") == HELLO


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        (PNG, [PICTURE]),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
            [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}],
        ),
        (
            {"type": "document", "context": "c", "source": {"type": "base64", "data": "JVBERi0="}},
            [
                {"type": "text", "text": "c"},
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                },
            ],
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            [{"type": "file", "file": {"file_id": "f"}}],
        ),
        (
            {"type": "document", "title": "t", "source": {"type": "content", "content": [PNG]}},
            [{"type": "text", "text": "t"}, PICTURE],
        ),
        (
            {"type": "search_result", "source": "https://a", "title": "t", "content": [{"type": "text", "text": "x"}]},
            [{"type": "text", "text": "t\nhttps://a"}, {"type": "text", "text": "x"}],
        ),
    ],
)
def test_pictures_documents_and_findings_are_parts(block: JSON, parts: list[JSON]) -> None:
    assert said(block, {"type": "text", "text": "What?"}) == [*parts, {"type": "text", "text": "What?"}]


def test_documents_inside_documents_are_refused() -> None:
    inner = {"type": "document", "source": {"type": "text", "data": "x"}}
    outer = {"type": "document", "source": {"type": "content", "content": [inner]}}
    refused = refusal(messages=[{"role": "user", "content": [outer]}])
    assert refused.param == "messages[0].content[0].source.content[0].type"


def test_results_of_tools_come_before_what_the_user_says_and_their_pictures_in_it() -> None:
    content = [
        {"type": "text", "text": "Go on."},
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "See:"}, PNG]},
        {"type": "tool_result", "tool_use_id": "c2"},
        {"type": "tool_result", "tool_use_id": "c3", "content": "Too late", "is_error": True},
        {"type": "tool_result", "tool_use_id": "c4", "content": "Error: no", "is_error": True},
        {"type": "tool_result", "tool_use_id": "c5", "is_error": True},
    ]
    shown = [{"type": "text", "text": "Returned by the tool call c1:"}, PICTURE, {"type": "text", "text": "Go on."}]
    assert messages({"role": "user", "content": content}) == [
        {"role": "tool", "tool_call_id": "c1", "content": "See:"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "tool", "tool_call_id": "c3", "content": "Error: Too late"},
        {"role": "tool", "tool_call_id": "c4", "content": "Error: no"},
        {"role": "tool", "tool_call_id": "c5", "content": "Error"},
        {"role": "user", "content": shown},
    ]


def test_what_the_model_thought_said_and_called_is_one_message() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "hidden"},
        {"type": "thinking", "thinking": "Ah.", "signature": ""},
        {"type": "text", "text": "One "},
        {"type": "text", "text": "moment."},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": [1, "ü"]}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": None},
    ]
    claude = "anthropic-claude-v1"
    [message] = messages({"role": "assistant", "content": content})
    assert message == {
        "role": "assistant",
        "content": "One moment.",
        "reasoning_content": "Hm.\n\nAh.",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Hm.", "signature": "sig", "format": claude},
            {"type": "reasoning.encrypted", "data": "hidden", "format": claude},
        ],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":[1,"ü"]}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_a_turn_of_nothing_but_thinking_is_left_out() -> None:
    assert messages({"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}]}, *HELLO) == HELLO
    assert messages({"role": "assistant", "content": ""}, *HELLO) == HELLO
