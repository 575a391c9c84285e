"""What translating one streamed chunk costs, without Envoy and network: each dialect's stream, an event a chunk."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from processor.dialects.base import Asked
from processor.domain import Operation
from processor.vendors import VENDORS
from processor.wire.json import JSON, decode_fields, encode
from processor.wire.sse import encode_data

_EVENTS = 400
"""Chunks a stream: a long answer."""
_REQUEST = b'{"model":"m","max_tokens":400,"stream":true,"input":"Hi","messages":[{"role":"user","content":"Hi"}]}'
"""Enough for every endpoint."""
_WORDS = ("Envoy ", "moves ", "the ", "bytes, ", "Python ", "decides. ", "上海", "tomorrow ")


@dataclass(frozen=True, slots=True)
class Cost:
    """One dialect's."""

    name: str
    median_us: float
    """Microseconds a chunk, the median over the rounds."""
    best_us: float


@dataclass(frozen=True, slots=True)
class Case:
    """A stream of one vendor, for one endpoint."""

    name: str
    vendor: str
    operation: Operation
    events: Callable[[], Iterator[bytes]]


def _anthropic() -> Iterator[bytes]:
    usage = {"input_tokens": 12, "output_tokens": 1}
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    yield _named({"type": "message_start", "message": start})
    yield _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for word in _words():
        yield _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    yield _named({"type": "content_block_stop", "index": 0})
    yield _named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 400}})
    yield _named({"type": "message_stop"})


def _gemini() -> Iterator[bytes]:
    last = _EVENTS - 1
    for number, word in enumerate(_words()):
        candidate: JSON = {"content": {"parts": [{"text": word}], "role": "model"}, "index": 0}
        if number == last:
            candidate["finishReason"] = "STOP"
        usage = {"promptTokenCount": 12, "candidatesTokenCount": number + 1, "totalTokenCount": number + 13}
        event = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini", "responseId": "r"}
        yield encode_data(encode(event))


def _openai() -> Iterator[bytes]:
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for word in _words():
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield encode_data(encode({**shared, "choices": [choice]}))
    yield encode_data(encode({**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    yield encode_data(encode({**shared, "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 400}}))
    yield b"data: [DONE]\n\n"


CASES = (
    Case("OpenAI's dialect, forwarded", "deepseek", Operation.CHAT, _openai),
    Case("Anthropic to OpenAI", "anthropic", Operation.CHAT, _anthropic),
    Case("Gemini to OpenAI", "gemini", Operation.CHAT, _gemini),
    Case("OpenAI's dialect to Anthropic's /messages", "deepseek", Operation.MESSAGES, _openai),
    Case("OpenAI's dialect to /responses", "deepseek", Operation.RESPONSES, _openai),
    Case("Anthropic's /messages, relayed", "anthropic", Operation.MESSAGES, _anthropic),
)


def measure(*, rounds: int) -> list[Cost]:
    """Translate every case's stream as often as there are rounds."""
    return [_measure(case, rounds) for case in CASES]


def report(costs: list[Cost]) -> str:
    """A table in Markdown."""
    lines = ["| translation of a streamed chunk | median µs | best µs |", "|---|--:|--:|"]
    lines += [f"| {cost.name} | {cost.median_us:.1f} | {cost.best_us:.1f} |" for cost in costs]
    return "\n".join(lines)


def _measure(case: Case, rounds: int) -> Cost:
    translator = VENDORS[case.vendor].translator(case.operation)
    if translator is None:
        raise LookupError(f"{case.vendor} does not offer {case.operation}")
    asked = Asked(
        fields=decode_fields(_REQUEST),
        model="m",
        stream=True,
        include_usage=True,
        drop_params=True,
        request_id="bench",
        now=1,
    )
    events = list(case.events())
    spent = []
    for _ in range(rounds + 1):
        stream = translator.stream(asked)
        began = time.perf_counter()
        for event in events:
            stream.feed(event)
        stream.close()
        spent.append((time.perf_counter() - began) / len(events) * 1e6)
    return Cost(case.name, statistics.median(spent[1:]), min(spent[1:]))


def _words() -> Iterator[str]:
    return (_WORDS[number % len(_WORDS)] for number in range(_EVENTS))


def _named(event: JSON) -> bytes:
    return encode_data(encode(event), event["type"])
