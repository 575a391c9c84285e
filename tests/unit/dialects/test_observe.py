from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.base import Observer
from processor.dialects.observe import Blind, observe_response
from processor.domain import Usage
from tests.support.eventstream import encoded
from tests.support.pieces import bytewise, cut, places

Told = tuple[Usage | None, str, bool, int, bool]
"""Usage, model, whether content was seen, its size, whether the counts are final."""

CHAT = "/v1/chat/completions"
JSON = "application/json; charset=utf-8"
SSE = "text/event-stream"
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "deflate": zlib.compress,
}
encodings = pytest.mark.parametrize("encoding", ENCODE)


def observer(content_type: str, *, path: str = CHAT, encoding: str = "", status: int = 200) -> Observer:
    return observe_response(
        method="POST", path=path, status=status, content_type=content_type, content_encoding=encoding
    )


def told(watching: Observer) -> Told:
    return watching.usage, watching.model, watching.content_seen, watching.output_chars, watching.complete


def watched(content_type: str, pieces: Iterable[bytes], *, path: str = CHAT, encoding: str = "") -> Told:
    watching = observer(content_type, path=path, encoding=encoding)
    for piece in pieces:
        watching.feed(piece)
    watching.close()
    return told(watching)


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def named(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def usage(input: int, output: int = 0, *, cached: int = 0, reasoning: int = 0) -> Usage:  # noqa: A002
    return Usage(input_tokens=input, output_tokens=output, cached_input_tokens=cached, reasoning_tokens=reasoning)


def chunk(text: str = "", *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"delta": {"content": text}, "finish_reason": finish}], **more}


OPENAI = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
CHAT_STREAM = b": hi\n\n" + sse(
    chunk("日本", usage=None), chunk("!", finish="stop"), {"model": "m", "choices": [], "usage": OPENAI}, b"[DONE]"
)
MESSAGES_STREAM = named(
    {
        "type": "message_start",
        "message": {"model": "c", "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 1}},
    },
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi!"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)
RESPONSES_STREAM = named(
    {"type": "response.created", "response": {"model": "r", "usage": None}},
    {"type": "response.output_text.delta", "delta": "Hi!"},
    {"type": "response.audio.delta", "delta": "AAAA"},
    {"type": "response.output_text.done", "text": "Hi!"},
    {
        "type": "response.completed",
        "response": {
            "model": "r",
            "output": [{"content": [{"type": "output_text", "text": "Hi!"}]}],
            "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        },
    },
)
GEMINI_EVENTS = [
    {
        "candidates": [{"content": {"parts": [{"text": "Hi }{"}]}}],
        "modelVersion": "g",
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1},
    },
    {
        "candidates": [{"content": {"parts": [{"text": '"!'}]}, "finishReason": "STOP"}],
        "modelVersion": "g",
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2},
    },
]
OLLAMA_LINES = [
    {"model": "o", "message": {"role": "assistant", "content": "Hi"}, "done": False},
    {"model": "o", "message": {"content": "!"}, "done": True, "prompt_eval_count": 9, "eval_count": 3},
]
DASHSCOPE_EVENTS = b"".join(
    b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%s\n\n" % (number, json.dumps(event).encode())
    for number, event in enumerate(
        [
            {"output": {"text": "Hi", "finish_reason": "null"}, "usage": {"input_tokens": 9, "output_tokens": 1}},
            {"output": {"text": "!", "finish_reason": "stop"}, "usage": {"input_tokens": 9, "output_tokens": 3}},
        ]
    )
)

STREAMS: dict[str, tuple[str, str, bytes, Told]] = {
    "chat": (SSE, CHAT, CHAT_STREAM, (usage(9, 3), "m", True, 7, True)),
    "chat, CRLF": (SSE, CHAT, CHAT_STREAM.replace(b"\n", b"\r\n"), (usage(9, 3), "m", True, 7, True)),
    "messages": (SSE, "/anthropic/v1/messages", MESSAGES_STREAM, (usage(9, 7, cached=4), "c", True, 7, True)),
    "responses": (SSE, "/v1/responses", RESPONSES_STREAM, (usage(9, 3), "r", True, 3, True)),
    "gemini, events": (
        SSE,
        "/v1beta/models/g:streamGenerateContent",
        sse(*GEMINI_EVENTS),
        (usage(9, 5, reasoning=2), "g", True, 7, True),
    ),
    "gemini, an array": (
        "application/json; charset=UTF-8",
        "/v1beta/models/g:streamGenerateContent",
        json.dumps(GEMINI_EVENTS, indent=2).encode(),
        (usage(9, 5, reasoning=2), "g", True, 7, True),
    ),
    "ollama": (
        "application/x-ndjson",
        "/api/chat",
        b"".join(json.dumps(line).encode() + b"\n" for line in OLLAMA_LINES),
        (usage(9, 3), "o", True, 3, True),
    ),
    "messages at DashScope": (
        SSE,
        "/apps/anthropic/v1/messages",
        MESSAGES_STREAM,
        (usage(9, 7, cached=4), "c", True, 7, True),
    ),
    "responses at DashScope": (
        SSE,
        "/api/v2/apps/protocols/compatible-mode/v1/responses",
        RESPONSES_STREAM,
        (usage(9, 3), "r", True, 3, True),
    ),
    "images": (
        SSE,
        "/v1/images/generations",
        named(
            {"type": "image_generation.partial_image", "b64_json": "AAAA"},
            {
                "type": "image_generation.completed",
                "b64_json": "AAAA",
                "usage": {"input_tokens": 9, "output_tokens": 3},
            },
        ),
        (usage(9, 3), "", False, 0, True),
    ),
    "speech": (
        SSE,
        "/v1/audio/speech",
        named(
            {"type": "speech.audio.delta", "audio": "AAAA"},
            {"type": "speech.audio.done", "usage": {"input_tokens": 9, "output_tokens": 3}},
        ),
        (usage(9, 3), "", False, 0, True),
    ),
    "transcriptions": (
        SSE,
        "/v1/audio/transcriptions",
        named(
            {"type": "transcript.text.delta", "delta": "Hi!"},
            {"type": "transcript.text.done", "text": "Hi!", "usage": {"input_tokens": 9, "output_tokens": 3}},
        ),
        (usage(9, 3), "", True, 3, True),
    ),
    "baidu's first version": (
        SSE,
        "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant",
        sse(
            {"result": "Hi", "is_end": False, "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
            {"result": "!", "is_end": True, "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
        ),
        (usage(9, 3), "", True, 3, True),
    ),
    "dashscope": (
        SSE,
        "/api/v1/services/aigc/text-generation/generation",
        DASHSCOPE_EVENTS,
        (usage(9, 3), "", True, 3, True),
    ),
}
streams = pytest.mark.parametrize(("content_type", "path", "body", "expected"), STREAMS.values(), ids=STREAMS.keys())


@streams
@encodings
def test_a_stream_whole_and_byte_by_byte(
    content_type: str, path: str, body: bytes, expected: Told, encoding: str
) -> None:
    written = ENCODE[encoding](body)
    assert watched(content_type, [written], path=path, encoding=encoding) == expected
    assert watched(content_type, bytewise(written), path=path, encoding=encoding) == expected


@given(name=st.sampled_from(list(STREAMS)), encoding=st.sampled_from(list(ENCODE)), at=places)
def test_a_stream_cut_at_random(name: str, encoding: str, at: list[int]) -> None:
    content_type, path, body, expected = STREAMS[name]
    assert watched(content_type, cut(ENCODE[encoding](body), at), path=path, encoding=encoding) == expected


@given(name=st.sampled_from(list(STREAMS)), length=st.integers(min_value=0, max_value=1 << 12))
def test_a_stream_that_stops_early_is_final_only_after_its_last_event(name: str, length: int) -> None:
    content_type, path, body, (_, model, _, size, _) = STREAMS[name]
    _, found_model, seen, found_size, complete = watched(content_type, [body[: length % len(body)]], path=path)
    assert found_model in ("", model)
    assert found_size <= size
    assert seen is (found_size > 0)
    if complete:
        assert found_size == size


def test_a_running_count_is_kept_when_the_stream_is_cut() -> None:
    body = sse(chunk("a", usage={**OPENAI, "completion_tokens": 1}), chunk("b", usage=OPENAI), chunk("c"))
    assert watched(SSE, [body]) == (usage(9, 3), "m", True, 3, False)


def test_a_cut_stream_of_messages_keeps_the_first_count() -> None:
    body = MESSAGES_STREAM[: MESSAGES_STREAM.index(b"event: message_delta")]
    found = watched(SSE, [body], path="/v1/messages")
    assert found == (usage(9, 1, cached=4), "c", True, 7, False)


def test_a_later_input_count_of_messages_wins_unless_it_is_nothing() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
    for late, expected in (({"input_tokens": 6, "output_tokens": 7}, 6), ({"input_tokens": 0, "output_tokens": 7}, 5)):
        body = named(start, {"type": "message_delta", "usage": late})
        assert watched(SSE, [body], path="/v1/messages")[0] == usage(expected, 7)


def test_a_prompt_that_gemini_refuses_is_counted_for_good() -> None:
    refused = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
    path = "/v1beta/models/g:streamGenerateContent"
    assert watched(SSE, [sse(refused)], path=path) == (usage(9), "", False, 0, True)
    assert watched(SSE, [sse({**refused, "promptFeedback": {}})], path=path) == (usage(9), "", False, 0, False)


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (CHAT, {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"a":1}'}}]}}]}),
        ("/v1/messages", {"type": "content_block_delta", "delta": {"partial_json": '{"a":1}'}}),
        ("/v1/responses", {"type": "response.function_call_arguments.delta", "delta": '{"a":1}'}),
        (
            "/v1beta/models/g:streamGenerateContent",
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}}]},
        ),
        ("/api/chat", {"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}}),
        (CHAT, {"choices": [{"delta": {"audio": {"transcript": "1234567", "data": "AAAA"}}}]}),
    ],
)
def test_a_tool_s_arguments_and_spoken_words_are_content(path: str, event: dict[str, Any]) -> None:
    assert watched(SSE, [sse(event)], path=path) == (None, "", True, 7, False)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v1/text/chatcompletion_v2", {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}),
        (CHAT, {"code": 11200, "message": "AppIdNoAuthError", "sid": "cha0001"}),
        (CHAT, {"error": {"message": "overloaded", "type": "server_error"}}),
        ("/v1/messages", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        ("/api/chat", {"error": "model not found"}),
        ("/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb", {"error_code": 336003, "error_msg": "no messages"}),
    ],
)
def test_an_error_inside_a_200_is_neither_usage_nor_content(path: str, error: dict[str, Any]) -> None:
    assert watched(JSON, [json.dumps(error).encode()], path=path) == (None, "", False, 0, True)
    assert watched(SSE, [sse(error)], path=path) == (None, "", False, 0, False)


def test_content_is_seen_as_soon_as_it_passes() -> None:
    watching = observer(SSE)
    watching.feed(sse({"choices": [{"delta": {"role": "assistant", "content": ""}}]}))
    assert not watching.content_seen
    watching.feed(sse(chunk("Hi")))
    assert watching.content_seen


def test_a_stream_that_is_broken_by_its_encoding_keeps_what_it_had() -> None:
    watching = observer(SSE, encoding="gzip")
    stream = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    watching.feed(stream.compress(sse(chunk("Hi", usage=OPENAI))) + stream.flush(zlib.Z_SYNC_FLUSH))
    watching.feed(b"\xff" * 50)
    watching.feed(b"\xff" * 50)
    watching.close()
    assert told(watching) == (usage(9, 3), "m", True, 2, False)


def test_events_that_are_no_objects_are_passed_over() -> None:
    body = sse(b"hello", b"[1]", b"7", b'{"choices":', b'{"x":"\xff"}', chunk("Hi", finish="stop", usage=OPENAI))
    assert watched(SSE, [body]) == (usage(9, 3), "m", True, 2, True)


WHOLE: dict[str, tuple[str, Any, Told]] = {
    "chat": (
        CHAT,
        {"model": "m", "choices": [{"message": {"content": "Hi"}}], "usage": OPENAI},
        (usage(9, 3), "m", False, 0, True),
    ),
    "chat without a count": (
        CHAT,
        {"model": "m", "choices": [{"message": {"content": "Hi", "reasoning_content": "日"}}]},
        (None, "m", True, 5, True),
    ),
    "messages": (
        "/v1/messages",
        {"type": "message", "model": "c", "content": [], "usage": {"input_tokens": 5, "output_tokens": 7}},
        (usage(5, 7), "c", False, 0, True),
    ),
    "responses": (
        "/v1/responses",
        {"model": "r", "output": [], "usage": {"input_tokens": 9, "output_tokens": 3}},
        (usage(9, 3), "r", False, 0, True),
    ),
    "responses, queued": ("/v1/responses", {"model": "r", "usage": None}, (None, "r", False, 0, True)),
    "gemini": (
        "/v1beta/models/g:generateContent",
        {"modelVersion": "g", "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3}},
        (usage(9, 3), "g", False, 0, True),
    ),
    "gemini embeddings": (
        "/v1beta/models/g:embedContent",
        {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 9}},
        (usage(9), "", False, 0, True),
    ),
    "embeddings": (
        "/v1/embeddings",
        {"data": [{"embedding": [0.5]}], "model": "e", "usage": {"prompt_tokens": 9, "total_tokens": 9}},
        (usage(9), "e", False, 0, True),
    ),
    "minimax embeddings": ("/v1/embeddings", {"vectors": [[0.5]], "total_tokens": 9}, (usage(9), "", False, 0, True)),
    "dashscope embeddings": (
        "/api/v1/services/embeddings/text-embedding/text-embedding",
        {"output": {"embeddings": []}, "usage": {"total_tokens": 9}},
        (usage(9), "", False, 0, True),
    ),
    "ollama": (
        "/api/chat",
        {"model": "o", "message": {"content": "Hi"}, "done": True, "prompt_eval_count": 9, "eval_count": 3},
        (usage(9, 3), "o", False, 0, True),
    ),
    "ollama embeddings": (
        "/api/embed",
        {"model": "o", "embeddings": [[0.5]], "prompt_eval_count": 9},
        (usage(9), "o", False, 0, True),
    ),
    "rerank": ("/v1/rerank", {"results": [], "meta": {"tokens": {"input_tokens": 9}}}, (usage(9), "", False, 0, True)),
    "bedrock": (
        "/model/c/converse",
        {"output": {}, "usage": {"inputTokens": 9, "outputTokens": 3}},
        (usage(9, 3), "", False, 0, True),
    ),
    "titan's embeddings": (
        "/model/amazon.titan-embed-text-v2:0/invoke",
        {"embedding": [0.5], "inputTextTokenCount": 9},
        (usage(9), "", False, 0, True),
    ),
    "ark's bots": (
        "/api/v3/bots/chat/completions",
        {"usage": OPENAI, "bot_usage": {"model_usage": [OPENAI, {"prompt_tokens": 1, "completion_tokens": 1}]}},
        (usage(10, 4), "", False, 0, True),
    ),
    "dashscope's apps": (
        "/api/v1/apps/abc/completion",
        {"output": {"text": "Hi"}, "usage": {"models": [{"model_id": "q", "input_tokens": 9, "output_tokens": 3}]}},
        (usage(9, 3), "", False, 0, True),
    ),
    "dashscope's images": (
        "/api/v1/services/aigc/multimodal-generation/generation",
        {"output": {"choices": [{"message": {"content": [{"image": "https://"}]}}]}, "usage": {"image_count": 1}},
        (None, "", False, 0, True),
    ),
    "images without a count": (
        "/v1/images/generations",
        {"data": [], "output": {"text": "never looked at"}},
        (None, "", False, 0, True),
    ),
    "a chat below ollama's path": (
        "/api/chat/completions",
        {"model": "m", "choices": [], "usage": OPENAI},
        (usage(9, 3), "m", False, 0, True),
    ),
    "images": (
        "/v1/images/generations",
        {"data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 9, "output_tokens": 3}},
        (usage(9, 3), "", False, 0, True),
    ),
    "transcriptions": (
        "/v1/audio/transcriptions",
        {"text": "Hi", "usage": {"type": "duration", "seconds": 4}},
        (Usage(seconds=4), "", False, 0, True),
    ),
    "translations in words and segments": (
        "/v1/audio/translations",
        {"task": "translate", "duration": 8.5, "text": "Hi", "segments": []},
        (Usage(seconds=8.5), "", False, 0, True),
    ),
}
wholes = pytest.mark.parametrize(("path", "answer", "expected"), WHOLE.values(), ids=WHOLE.keys())


@wholes
@encodings
def test_a_whole_answer(path: str, answer: Any, expected: Told, encoding: str) -> None:
    written = ENCODE[encoding](b"\n\n\n" + json.dumps(answer).encode() + b"\n")
    assert watched(JSON, [written], path=path, encoding=encoding) == expected
    assert watched(JSON, bytewise(written), path=path, encoding=encoding) == expected


@wholes
@encodings
def test_a_whole_answer_that_is_cut_counts_nothing(path: str, answer: Any, expected: Told, encoding: str) -> None:
    written = ENCODE[encoding](json.dumps(answer).encode())
    found = watched(JSON, [written[:-1]], path=path, encoding=encoding)
    assert found == (None, "", False, 0, False), expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"<html>",
        b'{"usage":{"\xff":1}}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b'{"usage":{"total_tokens":1e999}}',
        b'{"usage":' + b"[" * 9999 + b"]" * 9999 + b"}",
        b'{"choices":' + b"[" * 9999 + b"]" * 9999 + b"}",
    ],
)
def test_an_answer_that_cannot_be_read_counts_nothing(body: bytes) -> None:
    assert watched(JSON, [body]) == (None, "", False, 0, False)


def test_an_answer_too_large_to_keep_counts_nothing() -> None:
    piece = b'{"usage":{"prompt_tokens":9},"x":"' + b"a" * (17 * 1024 * 1024)
    assert watched(JSON, [piece, piece, b'"}']) == (None, "", False, 0, False)


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type", "encoding"),
    [
        ("GET", "/v1/models", 200, JSON, ""),
        ("POST", "/v1/files", 200, JSON, ""),
        ("POST", "/v1/messages/count_tokens", 200, JSON, ""),
        ("POST", CHAT, 429, JSON, ""),
        ("POST", CHAT, 200, "text/html", ""),
        ("POST", CHAT, 200, "", ""),
        ("POST", "/v1/audio/speech", 200, "audio/mpeg", ""),
        ("POST", CHAT, 200, JSON, "snappy"),
    ],
)
def test_where_nothing_can_be_counted_nothing_is_read(
    method: str, path: str, status: int, content_type: str, encoding: str
) -> None:
    watching = observe_response(
        method=method, path=path, status=status, content_type=content_type, content_encoding=encoding
    )
    watching.feed(b'{"usage":{"prompt_tokens":9}}')
    watching.close()
    assert type(watching) is Blind
    assert told(watching) == (None, "", False, 0, False)


@given(
    content_type=st.sampled_from([SSE, JSON, "application/x-ndjson"]),
    path=st.sampled_from(
        sorted({path for _, path, _, _ in STREAMS.values()} | {path for path, _, _ in WHOLE.values()})
    ),
    encoding=st.sampled_from(list(ENCODE)),
    pieces=st.lists(st.binary(max_size=30) | st.sampled_from([CHAT_STREAM[:60], MESSAGES_STREAM[:90]]), max_size=5),
)
def test_nothing_is_ever_raised(content_type: str, path: str, encoding: str, pieces: list[bytes]) -> None:
    watched(content_type, pieces, path=path, encoding=encoding)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_aws_s_event_stream_is_read(size: int) -> None:
    events = [
        {"type": "messageStart", "payload": {"role": "assistant"}},
        {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}},
        {"type": "messageStop", "payload": {"stopReason": "end_turn"}},
        {"type": "metadata", "payload": {"usage": {"inputTokens": 9, "outputTokens": 3, "cacheReadInputTokens": 2}}},
    ]
    body = encoded(events)
    watching = observe_response(
        method="POST",
        path="/model/c/converse-stream",
        status=200,
        content_type="application/vnd.amazon.eventstream",
        content_encoding="",
    )
    for start in range(0, len(body), size):
        watching.feed(body[start : start + size])
    watching.close()
    assert watching.usage == Usage(input_tokens=11, output_tokens=3, cached_input_tokens=2)
    assert watching.content_seen


def test_an_event_stream_that_is_damaged_ends_the_watching() -> None:
    watching = observe_response(
        method="POST",
        path="/model/c/converse-stream",
        status=200,
        content_type="application/vnd.amazon.eventstream",
        content_encoding="",
    )
    watching.feed(b"\xff" * 64)
    watching.close()
    assert watching.usage is None
