"""A chat stream folded into one whole answer, for models that only stream and clients that do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from processor.dialects.base import ClientResponse, StreamTranslator
from processor.dialects.openai_chat_skim import skim
from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import SSEDecoder

_STARTS = (b"data:", b"event:", b"id:", b":", b"retry:")
_OF_THE_ANSWER = ("id", "created", "model", "system_fingerprint", "service_tier", "usage")
_TEXTS = ("content", "reasoning_content", "refusal")


def is_stream(body: bytes) -> bool:
    """Whether a body is events rather than JSON."""
    return body.startswith(_STARTS)


def folded(body: bytes, stream: StreamTranslator) -> ClientResponse:
    """A vendor's whole stream as one answer; `stream` translates it, the usage included.

    Raises:
        WireError, UpstreamError: as the translator does.
    """
    answer = _completion(stream.feed(body) + stream.close())
    return ClientResponse(
        body=answer,
        usage=stream.usage,
        model=stream.model,
        output_chars=stream.output_chars,
        malformed=stream.malformed,
    )


def _completion(stream: bytes) -> bytes:
    """One `chat.completion` out of a translated stream."""
    answer: JSON = {"id": "", "object": "chat.completion", "created": 0, "model": "", "choices": []}
    choices: dict[int, JSON] = {}
    for chunk in _chunks(stream):
        answer.update((name, chunk[name]) for name in _OF_THE_ANSWER if chunk.get(name) is not None)
        for choice in chunk.get("choices") or ():
            index = choice.get("index") or 0
            _add(choices.setdefault(index, _empty(index)), choice)
    answer["choices"] = [choices[index] for index in sorted(choices)]
    return encode(answer)


def _chunks(stream: bytes) -> Iterator[JSON]:
    decoder = SSEDecoder()
    for event in (*decoder.feed(stream), *decoder.close()):
        if skim(event.data) is None:
            continue
        try:
            yield decode(event.data)
        except JSONError:  # the skim does not read every field
            continue


def _empty(index: int) -> JSON:
    return {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}


def _add(choice: JSON, piece: JSON) -> None:
    delta = piece.get("delta") or {}
    message = choice["message"]
    for name in _TEXTS:
        if delta.get(name):
            message[name] = (message.get(name) or "") + delta[name]
    if delta.get("tool_calls"):
        _add_calls(message.setdefault("tool_calls", []), delta["tool_calls"])
    if piece.get("finish_reason"):
        choice["finish_reason"] = piece["finish_reason"]


def _add_calls(calls: list[JSON], pieces: Iterable[JSON]) -> None:
    """Each piece to the call of its index; a call begins with its first piece."""
    for piece in pieces:
        index = piece.get("index") or 0
        function = piece.get("function") or {}
        if index < len(calls):
            known = calls[index]["function"]
            known["arguments"] += function.get("arguments") or ""
        else:
            named = {"name": function.get("name") or "", "arguments": function.get("arguments") or ""}
            calls.append({"id": piece.get("id") or "", "type": "function", "function": named})
