"""The demo vendor's chat: makes an answer and tells it whole or in chunks, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from processor.demo import texts
from processor.demo.chat_request import ChatRequest
from processor.demo.samples import sample
from processor.policy.estimate import estimate_text
from processor.wire.json import JSON, encode

MODEL = "demo-chat"

_MESSAGE_TOKENS = 4  # what a chat template adds around each message, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer, in pieces of about a token."""

    pieces: tuple[str, ...]
    function: str = ""
    """The function that is called; the pieces are then its arguments, not content."""
    finish_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All choices, and what they would have cost."""

    id: str
    created: int
    """Seconds since the epoch."""
    choices: tuple[Choice, ...]
    input_tokens: int

    def usage(self) -> JSON:
        """The counts, with OpenAI's names."""
        output_tokens = sum(len(choice.pieces) for choice in self.choices)
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": self.input_tokens + output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


def answer(request: ChatRequest, *, id: str, created: int) -> Answer:  # noqa: A002 - OpenAI's word
    """What the demo vendor says to a request.

    Raises:
        MalformedRequest: the request asks for a tool it does not bring.
    """
    return Answer(
        id=id,
        created=created,
        choices=tuple(_choice(request, index) for index in range(request.n or 1)),
        input_tokens=sum(_MESSAGE_TOKENS + estimate_text(message.text()) for message in request.messages),
    )


def whole(answer: Answer) -> JSON:
    """The answer as one `chat.completion`."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", **_message(answer, index)},
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(answer.choices)
    ]
    return {**_envelope(answer, "chat.completion"), "choices": choices, "usage": answer.usage()}


def chunks(answer: Answer, *, include_usage: bool) -> Iterator[JSON]:
    """The answer as `chat.completion.chunk`s; several choices come side by side, as a model makes them."""
    envelope = _envelope(answer, "chat.completion.chunk") | ({"usage": None} if include_usage else {})
    for deltas in zip_longest(*(_deltas(answer, index) for index in range(len(answer.choices)))):
        for index, step in enumerate(deltas):
            if step is not None:
                delta, finish_reason = step
                choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
                yield {**envelope, "choices": [choice]}
    if include_usage:
        yield {**envelope, "choices": [], "usage": answer.usage()}


def _envelope(answer: Answer, kind: str) -> JSON:
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created,
        "model": MODEL,
        "system_fingerprint": "demo",
    }


def _choice(request: ChatRequest, index: int) -> Choice:
    function = request.forced_function()
    if function:
        arguments = sample(function.parameters)
        text, reason = encode(arguments if isinstance(arguments, dict) else {}).decode(), "tool_calls"
    else:
        text, reason = _content(request, index), "stop"
    pieces = texts.pieces(text)
    kept = pieces[: request.token_limit]
    return Choice(
        pieces=kept,
        function=function.name if function else "",
        finish_reason=reason if len(kept) == len(pieces) else "length",
    )


def _content(request: ChatRequest, index: int) -> str:
    said = request.said()
    form = request.response_format
    if form is None or form.type == "text":
        return texts.reply(said) + (f" ({index + 1}/{request.n})" if index else "")
    if form.json_schema and form.json_schema.schema:
        return encode(sample(form.json_schema.schema)).decode()
    return encode({"demo": True, "message": texts.reply(""), "you_said": texts.shortened(said)}).decode()


def _message(answer: Answer, index: int) -> JSON:
    choice = answer.choices[index]
    text = "".join(choice.pieces)
    if not choice.function:
        return {"content": text, "refusal": None}
    return {"content": None, "refusal": None, "tool_calls": [_call(answer, index, text)]}


def _call(answer: Answer, index: int, arguments: str) -> JSON:
    function = {"name": answer.choices[index].function, "arguments": arguments}
    return {"id": f"call-{answer.id}-{index}", "type": "function", "function": function}


def _deltas(answer: Answer, index: int) -> Iterator[tuple[JSON, str | None]]:
    """One choice's deltas, each with its finish reason."""
    choice = answer.choices[index]
    if choice.function:
        first: JSON = {"content": None, "tool_calls": [{"index": 0, **_call(answer, index, "")}]}
    else:
        first = {"content": "", "refusal": None}
    yield {"role": "assistant", **first}, None
    for piece in choice.pieces:
        if choice.function:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None
        else:
            yield {"content": piece}, None
    yield {}, choice.finish_reason
