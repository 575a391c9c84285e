"""Coding agents as they are: what they send with the vendors' SDKs, in a loop of tools, over models of other houses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.support.fake_dialects import every_dialect
from tests.support.fake_vendor import FakeVendor
from tests.support.gateway import Gateway


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def messages_sdk(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, **options) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def responses_sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


AGENT_TOOLS: list[Any] = [
    {
        "name": name,
        "description": f"{name} something.\n\nUsage:\n- With care.",
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "What to do"},
                "timeout": {"type": "number"},
                "mode": {"type": "string", "enum": ["content", "files"]},
                "todos": {"type": "array", "items": {"type": "object", "properties": {"done": {"type": "boolean"}}}},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    }
    for name in ("Bash", "Read", "Edit", "Grep", "Task", "TodoWrite", "WebFetch", "mcp__ide__getDiagnostics")
]
AGENT_SYSTEM: list[Any] = [
    {"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": "Here is the environment: …", "cache_control": {"type": "ephemeral"}},
]
AGENT_FIRST: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "<system-reminder>\nBe careful.\n</system-reminder>\n"},
            {"type": "text", "text": "Which files are here?", "cache_control": {"type": "ephemeral"}},
        ],
    }
]


@pytest.mark.parametrize(
    "model", ["deepseek/deepseek-chat", "gemini/gemini-3-pro-preview", "anthropic/claude-sonnet-4-6"]
)
async def test_an_agent_of_messages_works_on_any_model(
    messages_sdk: anthropic.AsyncAnthropic, vendor: FakeVendor, gateway: Gateway, model: str
) -> None:
    """What such an agent sends: betas and their query, marks for the cache, many tools, thinking, a failed result."""
    options: dict[str, Any] = {
        "model": model,
        "max_tokens": 32000,
        "system": AGENT_SYSTEM,
        "tools": AGENT_TOOLS,
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "metadata": {
            "user_id": json.dumps({"device_id": "ab" * 32, "session_id": "0b2f9a7c-1c9d-4f0e-8f0c-7d0a7f3b2f11"})
        },
        "betas": ["claude-code-20250219", "interleaved-thinking-2025-05-14", "context-management-2025-06-27"],
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "extra_body": {"temperature": 1},
        "extra_headers": {
            "x-app": "cli",
            "user-agent": "agent/2.0 (external, cli)",
            "authorization": f"Bearer {gateway.key}",
        },
    }
    async with messages_sdk.beta.messages.stream(messages=AGENT_FIRST, **options) as stream:
        first = await stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["Bash", "Read"]
    assert calls[1].input == {
        "command": '東京 "wet"',
        "timeout": 21.5,
        "mode": "files",
        "todos": [{"done": True}, {"done": True}],
    }
    assert first.stop_reason == "tool_use"
    said: Any = [block.model_dump(exclude_none=True) for block in first.content]
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": "a.py\nb.py"},
        {"type": "tool_result", "tool_use_id": calls[1].id, "content": "No such file", "is_error": True},
        {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}},
    ]
    turns = [*AGENT_FIRST, {"role": "assistant", "content": said}, {"role": "user", "content": results}]
    async with messages_sdk.beta.messages.stream(messages=turns, **options) as stream:
        last = await stream.get_final_message()
    text = "".join(block.text for block in last.content if block.type == "text")
    assert text in ("The tools said: a.py\nb.py | Error: No such file", "The tools said: a.py\nb.py | No such file")
    assert last.stop_reason == "end_turn"
    assert gateway.key not in vendor.last.head.decode()


SHELL: Any = {
    "type": "function",
    "name": "shell",
    "description": "Runs a command.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {
            "command": {"type": "array", "items": {"type": "string"}},
            "workdir": {"type": "string"},
            "timeout_ms": {"type": "number"},
        },
        "required": ["command"],
        "additionalProperties": False,
    },
}
PLAN: Any = {
    "type": "function",
    "name": "update_plan",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"explanation": {"type": "string"}, "plan": {"type": "array", "items": {"type": "object"}}},
        "required": ["plan"],
        "additionalProperties": False,
    },
}
TURNS: list[Any] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions/>"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context/>"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which files are here?"}]},
]


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-5.2",
        "anthropic/claude-sonnet-4-6",
        "bedrock/us.anthropic.claude-sonnet-4-6",
        "golden-minimax-native/MiniMax-M3",
    ],
)
async def test_an_agent_of_responses_works_on_other_models(responses_sdk: openai.AsyncOpenAI, model: str) -> None:
    """What such an agent sends: no state, hidden reasoning to be given back, one call at a time, items as they came."""
    options: dict[str, Any] = {
        "model": model,
        "instructions": "You are a coding agent.",
        "tools": [SHELL, PLAN],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0b2f9a7c-1c9d-4f0e-8f0c-7d0a7f3b2f11",
        "text": {"verbosity": "low"},
        "store": False,
    }
    async with responses_sdk.responses.stream(input=TURNS, **options) as stream:
        first = await stream.get_final_response()
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    call = first.output[-1]
    assert call.type == "function_call"
    assert json.loads(call.arguments)["command"] == ["Zürich ☀️", '東京 "wet"']
    items: list[Any] = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    result = json.dumps({"output": "a.py", "metadata": {"exit_code": 0}})
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    async with responses_sdk.responses.stream(input=[*TURNS, *items], **options) as stream:
        last = await stream.get_final_response()
    assert last.output_text == f"The tools said: {result}"
