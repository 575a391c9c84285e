"""The fakes of dialects refuse what the real vendors would: a test over them can fail."""

from __future__ import annotations

from typing import Any

import pytest

from processor.wire.json import encode
from tests.support.fake_dialects import every_dialect
from tests.support.fake_dialects_model import schema_in
from tests.support.fake_vendor_http import Framing, Received

CLAUDE = "/v1/messages"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"
GEMINI_3 = "/v1beta/models/gemini-3-pro-preview:generateContent"
BEDROCK = "/model/us.anthropic.claude-sonnet-4-6/converse"
QWEN = "/api/v1/services/aigc/text-generation/generation"
DEEPSEEK = "/chat/completions"
OPENAI = "/v1/chat/completions"
ALI_EMBEDDINGS = "/compatible-mode/v1/embeddings"

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HI: Any = {"role": "user", "parts": [{"text": "Hi"}]}
GEMINI_CALL: Any = {"functionCall": {"id": "c1", "name": "f", "args": {}}}
GEMINI_RESULT: Any = {"functionResponse": {"id": "c1", "name": "f", "response": {"output": 1}}}
TOOL_USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "x"}


def claude(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-6", "max_tokens": 2000, "messages": list(messages), **more}


def received(path: str, body: Any) -> Received:
    headers = (("authorization", "x"), ("x-api-key", "x"), ("x-goog-api-key", "x"), ("anthropic-version", "2023-06-01"))
    return Received(
        method="POST",
        target=path,
        version="1.1",
        headers=headers,
        head=b"",
        body=encode(body),
        framing=Framing.LENGTH,
        connection=1,
    )


ACCEPTED: list[tuple[str, Any]] = [
    (CLAUDE, claude(USER)),
    (
        CLAUDE,
        claude(USER, {"role": "assistant", "content": [TOOL_USE]}, {"role": "user", "content": [TOOL_RESULT]}),
    ),
    (GEMINI, {"contents": [HI, {"role": "model", "parts": [GEMINI_CALL]}, {"role": "user", "parts": [GEMINI_RESULT]}]}),
    (BEDROCK, {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
    (QWEN, {"model": "qwen-plus", "input": {"messages": [USER]}, "parameters": {"result_format": "message"}}),
    (DEEPSEEK, {"model": "deepseek-chat", "messages": [USER]}),
    (OPENAI, {"model": "gpt-5", "messages": [USER]}),
    (ALI_EMBEDDINGS, {"model": "text-embedding-v4", "input": ["a"] * 10}),
]

REFUSED: list[tuple[str, str, Any]] = [
    ("needs .'max_tokens'", CLAUDE, {"model": "claude-sonnet-4-6", "messages": [USER]}),
    ("has no .'seed'", CLAUDE, claude(USER, seed=1)),
    ("roles must alternate", CLAUDE, claude(USER, USER)),
    ("must use the user role", CLAUDE, claude({"role": "assistant", "content": "Hi"})),
    ("are not the results", CLAUDE, claude({"role": "user", "content": [TOOL_RESULT]})),
    ("without tool_result", CLAUDE, claude(USER, {"role": "assistant", "content": [TOOL_USE]})),
    (
        "must begin with its thinking",
        CLAUDE,
        claude(
            USER,
            {"role": "assistant", "content": [TOOL_USE]},
            {"role": "user", "content": [TOOL_RESULT]},
            thinking={"type": "adaptive"},
        ),
    ),
    (
        "invalid signature",
        CLAUDE,
        claude(
            USER,
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "forged"}, TOOL_USE]},
            {"role": "user", "content": [TOOL_RESULT]},
        ),
    ),
    ("budget_tokens", CLAUDE, claude(USER, thinking={"type": "enabled", "budget_tokens": 2000})),
    ("function responses", GEMINI, {"contents": [{"role": "user", "parts": [GEMINI_RESULT]}]}),
    (
        "no thought_signature",
        GEMINI_3,
        {"contents": [HI, {"role": "model", "parts": [GEMINI_CALL]}, {"role": "user", "parts": [GEMINI_RESULT]}]},
    ),
    ("mime type", GEMINI, {"contents": [HI], "generationConfig": {"responseSchema": {"type": "OBJECT"}}}),
    ("has no .'temperature'", GEMINI, {"contents": [HI], "temperature": 1}),
    ("must alternate", BEDROCK, {"messages": [{"role": "user", "content": [{"text": "Hi"}]}] * 2}),
    ("blank", BEDROCK, {"messages": [{"role": "user", "content": [{"text": " "}]}]}),
    (
        "toolConfig must be defined",
        BEDROCK,
        {
            "messages": [
                {"role": "user", "content": [{"text": "Hi"}]},
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "x"}]}}]},
            ]
        },
    ),
    ("needs .'result_format'", QWEN, {"model": "qwen-plus", "input": {"messages": [USER]}, "parameters": {}}),
    ("no role is called", DEEPSEEK, {"model": "deepseek-chat", "messages": [{"role": "developer", "content": "Hi"}]}),
    ("has no .'seed'", DEEPSEEK, {"model": "deepseek-chat", "messages": [USER], "seed": 1}),
    (
        "must contain the word json",
        DEEPSEEK,
        {"model": "deepseek-chat", "messages": [USER], "response_format": {"type": "json_object"}},
    ),
    (
        "reasoning_content",
        DEEPSEEK,
        {
            "model": "deepseek-v4-pro",
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
            ],
            "reasoning_effort": "high",
        },
    ),
    (
        "have no results",
        OPENAI,
        {"model": "gpt-5", "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, USER]},
    ),
    (
        "answers no call",
        OPENAI,
        {"model": "gpt-5", "messages": [USER, {"role": "tool", "tool_call_id": "c1", "content": "x"}]},
    ),
    ("batch size is invalid", ALI_EMBEDDINGS, {"model": "text-embedding-v4", "input": ["a"] * 11}),
    (
        "encoding format",
        ALI_EMBEDDINGS,
        {"model": "text-embedding-v4", "input": ["a"], "encoding_format": "base64"},
    ),
    ("nobody has a path", "/v2/messages", claude(USER)),
]


@pytest.mark.parametrize(("path", "body"), ACCEPTED)
def test_what_a_vendor_takes_is_answered(path: str, body: Any) -> None:
    assert every_dialect(received(path, body)).status == 200


@pytest.mark.parametrize(("why", "path", "body"), REFUSED)
def test_what_a_vendor_would_refuse_fails(why: str, path: str, body: Any) -> None:
    with pytest.raises(AssertionError, match=why):
        every_dialect(received(path, body))


def test_a_schema_is_found_in_a_prompt() -> None:
    assert schema_in('Not {this}, but {"type": "object"} as JSON.') == {"type": "object"}
    assert schema_in("none") is None
