"""OpenAI's legacy `/completions` as an inbound dialect: the prompt is a user's message, the answer its text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from processor.dialects.base import Asked
from processor.dialects.chat_request import typed, unsupported
from processor.dialects.inbound_chat import Choice, Said, Token, read
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, Fields, encode, raw
from processor.wire.sse import DONE, SSEDecoder, encode_data

_HARMLESS: Mapping[str, tuple[object, ...]] = {"suffix": ("",), "echo": (False,), "best_of": (1,)}
"""What a chat has nothing like, and the values that ask for nothing."""

_FINISH_REASONS = frozenset({"stop", "length", "content_filter"})
"""What a completion may finish for; a chat's other reasons count as `stop`."""


class InboundCompletions:
    """The Inbound of `/completions`."""

    def chat(self, asked: Asked) -> Fields:
        """The client's request as a chat request's fields.

        Raises:
            MalformedRequest: there is more than one prompt, it is in tokens, or a parameter has no place in a chat.
        """
        fields = {name: value for name, value in asked.fields.items() if bytes(memoryview(value)[:4]) != b"null"}
        fields.pop("stream_options", None)
        if "prompt" not in fields:
            raise MalformedRequest("`prompt` is missing.", param="prompt", code="missing_required_parameter")
        prompt = _prompt(typed(fields.pop("prompt"), Any, "prompt"))
        for name, harmless in _HARMLESS.items():
            if name in fields and typed(fields.pop(name), Any, name) not in harmless and not asked.drop_params:
                raise unsupported(name, asked.model)
        if "logprobs" in fields:
            count = typed(fields.pop("logprobs"), int, "logprobs")
            fields["logprobs"] = raw(value=True)
            fields |= {"top_logprobs": raw(count)} if count else {}
        return {**fields, "messages": raw([{"role": "user", "content": prompt}])}

    def answer(self, completion: bytes, asked: Asked) -> bytes:
        """A whole chat completion as a `text_completion`.

        Raises:
            UpstreamProtocolError: it is none.
        """
        chat = read(completion)
        if chat is None or not chat.choices:
            raise UpstreamProtocolError("The vendor's answer holds no message.")
        choices = [_choice(choice, choice.message, 0) for choice in chat.choices]
        answer = {**_shared(asked, chat.model or ""), "choices": choices}
        return encode({**answer, "usage": chat.usage} if chat.usage else answer)

    def stream(self, asked: Asked) -> CompletionsStream:
        """The translator of a chat's stream."""
        return CompletionsStream(asked)


class CompletionsStream:
    """The InboundStream of `/completions`. Thinking and calls have no place in it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._decoder = SSEDecoder()
        self._shared: JSON = {}
        self._head = b""
        self._tail = b',"usage":null}\n\n' if asked.include_usage else b"}\n\n"
        self._offsets: dict[int, int] = {}
        """Characters so far, by choice."""
        self._ended = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the chat's next bytes; return the client's."""
        return b"".join([self._data(event.data) for event in self._decoder.feed(chunk)])

    def close(self) -> bytes:
        """The chat has ended."""
        rest = b"".join([self._data(event.data) for event in self._decoder.close()])
        return rest + (b"" if self._ended else DONE)

    def _data(self, data: bytes) -> bytes:
        if not data or self._ended:
            return b""
        if data.startswith(b"[DONE]"):
            self._ended = True
            return DONE
        chunk = read(data)
        if chunk is None:
            return b""
        if not self._head:
            self._shared = _shared(self._asked, chunk.model or "")
            self._head = b"data: " + encode(self._shared)[:-1] + b',"choices":['
        out = b"".join([self._piece(choice) for choice in chunk.choices or ()])
        if chunk.usage and not chunk.choices and self._asked.include_usage:
            out += encode_data(encode({**self._shared, "choices": [], "usage": chunk.usage}))
        return out

    def _piece(self, choice: Choice) -> bytes:
        at = self._offsets.get(choice.index, 0)
        piece = _choice(choice, choice.delta, at)
        if not piece["text"] and not choice.finish_reason:
            return b""
        self._offsets[choice.index] = at + len(piece["text"])
        return self._head + encode(piece) + b"]" + self._tail


def _prompt(prompt: Any) -> str:
    """The one prompt.

    Raises:
        MalformedRequest: it is something else than one text.
    """
    only = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
    if isinstance(only, str):
        return only
    many = isinstance(prompt, list) and all(isinstance(entry, str) for entry in prompt)
    why = "send each prompt in a request of its own" if many else "a chat takes no tokens"
    raise MalformedRequest(f"`prompt` must be one text: {why}.", param="prompt")


def _shared(asked: Asked, model: str) -> JSON:
    created = {"object": "text_completion", "created": asked.now}
    return {"id": f"cmpl-{asked.request_id}", **created, "model": model or asked.model}


def _choice(choice: Choice, said: Said | None, offset: int) -> JSON:
    text = (said.content or said.refusal or "") if said else ""
    reason = choice.finish_reason
    return {
        "text": text,
        "index": choice.index,
        "logprobs": _logprobs(choice.tokens(), offset),
        "finish_reason": reason if reason is None or reason in _FINISH_REASONS else "stop",
    }


def _logprobs(tokens: list[Token], offset: int) -> JSON | None:
    """A chat's logprobs in the older form: lists side by side, the offsets in characters."""
    if not tokens:
        return None
    tops = [{top.token: top.logprob for top in token.top_logprobs or ()} for token in tokens]
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": list(accumulate((len(token.token) for token in tokens[:-1]), initial=offset)),
    }
