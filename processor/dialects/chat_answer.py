"""OpenAI's chat answers, written from another dialect's: a whole completion, or the chunks of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from processor.dialects.base import EVENTS_CONTENT, Asked, ClientResponse
from processor.domain import Usage
from processor.wire.json import JSON, encode
from processor.wire.sse import DONE


@dataclass(slots=True, kw_only=True)
class Completion:
    """A whole answer under construction."""

    content: str | None = None
    reasoning: str = ""
    reasoning_details: list[JSON] = field(default_factory=list)
    """Thinking that the vendor wants to see again: `reasoning_text` and `reasoning_encrypted`."""
    refusal: str | None = None
    tool_calls: list[JSON] = field(default_factory=list)
    """`tool_call` makes them."""
    annotations: list[JSON] = field(default_factory=list)
    images: list[JSON] = field(default_factory=list)
    """Pictures the model made, in OpenRouter's form: `{"type": "image_url", "image_url": {"url": …}}`."""
    finish_reason: str = "stop"
    logprobs: JSON | None = None

    def choice(self, index: int = 0) -> JSON:
        """It, as a choice of a `chat.completion`."""
        message: JSON = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        optional = {
            "reasoning_content": self.reasoning,
            "reasoning_details": self.reasoning_details,
            "tool_calls": self.tool_calls,
            "annotations": self.annotations,
            "images": self.images,
        }
        message |= {name: value for name, value in optional.items() if value}
        return {"index": index, "message": message, "logprobs": self.logprobs, "finish_reason": self.finish_reason}


def completion(asked: Asked, choices: list[Completion], usage: Usage | None, *, id: str, model: str) -> ClientResponse:  # noqa: A002 - OpenAI's word
    """A `chat.completion` of these choices."""
    answer: JSON = {
        "id": id or f"chatcmpl-{asked.request_id}",
        "object": "chat.completion",
        "created": asked.now,
        "model": model or asked.model,
        "choices": [choice.choice(index) for index, choice in enumerate(choices)],
    }
    if usage is not None:
        answer["usage"] = usage_object(usage)
    chars = sum(_size(choice) for choice in choices) if usage is None else 0
    return ClientResponse(body=encode(answer), usage=usage, model=model, output_chars=chars)


def tool_call(id: str, name: str, arguments: str, **more: JSON) -> JSON:  # noqa: A002 - OpenAI's word
    """A call in a message; `arguments` is JSON in a string."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def call_id(asked: Asked, number: int) -> str:
    """An id for a call whose vendor gave none. OpenAI takes 40 characters at most when it comes back."""
    return f"call_{asked.request_id.replace('-', '')}_{number}"


def reasoning_text(text: str, signature: str, format: str) -> JSON:  # noqa: A002 - OpenRouter's word
    """An entry of `reasoning_details`: thinking with what proves that the vendor thought it."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": format}


def reasoning_encrypted(data: str, format: str) -> JSON:  # noqa: A002 - OpenRouter's word
    """An entry of `reasoning_details`: thinking that the vendor hides."""
    return {"type": "reasoning.encrypted", "data": data, "format": format}


def usage_object(usage: Usage) -> JSON:
    """OpenAI's usage of a chat."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class ChatStream:
    """The client's side of a chat stream, and the attributes of a StreamTranslator: a dialect's stream extends it.

    A chunk's unchanging parts are written once, since a stream has thousands: a piece of text costs 1 µs.
    """

    def __init__(self, asked: Asked) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = EVENTS_CONTENT
        self._asked = asked
        self._id = f"chatcmpl-{asked.request_id}"
        self._begun = False
        self._head = b""

    def begin(self, *, id: str = "", model: str = "") -> bytes:  # noqa: A002 - OpenAI's word
        """The first chunk, which tells the role; done by the others if it was not."""
        if self._begun:
            return b""
        self._begun = True
        self._id = id or self._id
        self.model = model or self.model
        shared = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._asked.now,
            "model": self.model or self._asked.model,
        }
        self._head = b"data: " + encode(shared)[:-1] + b',"choices":['
        return self._delta(b'"role":"assistant","content":""')

    def text(self, piece: str, *, index: int = 0) -> bytes:
        """A piece of the answer's text."""
        return self._string(b'"content":', piece, index)

    def reasoning(self, piece: str, *, index: int = 0) -> bytes:
        """A piece of the thinking's text."""
        return self._string(b'"reasoning_content":', piece, index)

    def refusal(self, piece: str, *, index: int = 0) -> bytes:
        """A piece of a refusal."""
        return self._string(b'"refusal":', piece, index)

    def delta(self, delta: JSON, *, index: int = 0) -> bytes:
        """Any other delta: `reasoning_details`, `annotations`."""
        return self.begin() + self._delta(encode(delta)[1:-1], index)

    def call(self, number: int, call: JSON, *, index: int = 0) -> bytes:
        """A tool call's first piece; `call` as `tool_call` makes it, its arguments as far as they are known."""
        self.content_seen = True
        self.output_chars += len(call["function"]["name"]) + len(call["function"]["arguments"].encode())
        return self.begin() + self._delta(b'"tool_calls":[' + encode({"index": number, **call}) + b"]", index)

    def arguments(self, number: int, piece: str, *, index: int = 0) -> bytes:
        """The next piece of a call's arguments."""
        if not piece:
            return b""
        text = encode(piece)
        self.output_chars += len(text) - 2
        call = b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (number, text)
        return self.begin() + self._delta(call, index)

    def logprobs(self, logprobs: JSON, *, index: int = 0) -> bytes:
        """The probabilities of the text before, in OpenAI's form."""
        return self.begin() + self._delta(b"", index, b'null,"logprobs":' + encode(logprobs))

    def finish(self, reason: str, *, index: int = 0) -> bytes:
        """The end of a choice."""
        self.content_seen = True
        return self.begin() + self._delta(b"", index, encode(reason))

    def end(self) -> bytes:
        """The end of the stream: the usage if the client wants it, and `[DONE]`."""
        if self.usage is None or not self._asked.include_usage:
            return DONE
        return self.begin() + self._head + b'],"usage":' + encode(usage_object(self.usage)) + b"}\n\n" + DONE

    def _string(self, key: bytes, piece: str, index: int) -> bytes:
        if not piece:
            return b""
        self.content_seen = True
        text = encode(piece)
        self.output_chars += len(text) - 2
        return (b"" if self._begun else self.begin()) + self._delta(key + text, index)

    def _delta(self, delta: bytes, index: int = 0, finish: bytes = b"null") -> bytes:
        tail = b"}]}\n\n" if not self._asked.include_usage else b'}],"usage":null}\n\n'
        return b'%b{"index":%d,"delta":{%b},"finish_reason":%b%b' % (self._head, index, delta, finish, tail)


def _size(choice: Completion) -> int:
    texts = [choice.content or "", choice.reasoning, choice.refusal or ""]
    calls = [call["function"]["name"] + call["function"]["arguments"] for call in choice.tool_calls]
    return sum(len(text.encode()) for text in texts + calls)
