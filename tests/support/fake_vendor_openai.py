"""Ready-made replies of a vendor that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from processor.wire.json import JSON
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply, Step

MODEL = "fake-model"
ID = "chatcmpl-fake"
CREATED = 1_700_000_000
USAGE: JSON = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}

_PNG = "iVBORw0KGgo="


def chat_completion(
    text: str = "Hello!",
    *,
    model: str = MODEL,
    usage: JSON | None = USAGE,
    finish_reason: str = "stop",
    message: Mapping[str, Any] | None = None,
) -> JSON:
    """A `chat.completion`; `message` adds to or overrules the assistant's message, for tool calls and reasoning."""
    said = {"role": "assistant", "content": text, **(message or {})}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish_reason}
    body = {"id": ID, "object": "chat.completion", "created": CREATED, "model": model, "choices": [choice]}
    return body if usage is None else {**body, "usage": usage}


def chat_reply(
    text: str = "Hello!",
    *,
    model: str = MODEL,
    usage: JSON | None = USAGE,
    finish_reason: str = "stop",
    message: Mapping[str, Any] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Reply:
    """The same, as an answer."""
    body = chat_completion(text, model=model, usage=usage, finish_reason=finish_reason, message=message)
    return Reply.json(body, headers=headers)


def chat_chunks(
    texts: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = MODEL,
    usage: JSON | None = USAGE,
    include_usage_chunk: bool = True,
    finish_reason: str = "stop",
) -> list[JSON]:
    """The `chat.completion.chunk`s of a stream: role, one for each text, finish, and usage without choices.

    With `include_usage_chunk` False the usage stands in the finish chunk, as DeepSeek and others send it;
    with `usage` None there is none at all.
    """
    envelope: JSON = {"id": ID, "object": "chat.completion.chunk", "created": CREATED, "model": model}

    def chunk(delta: JSON, finish: str | None = None) -> JSON:
        return {**envelope, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": text}) for text in texts)]
    chunks.append(chunk({}, finish_reason))
    if usage is not None and include_usage_chunk:
        chunks.append({**envelope, "choices": [], "usage": usage})
    elif usage is not None:
        chunks[-1]["usage"] = usage
    return chunks


def chat_stream(
    texts: Iterable[str] = ("Hel", "lo!"),
    *,
    model: str = MODEL,
    usage: JSON | None = USAGE,
    include_usage_chunk: bool = True,
    done: bool = True,
    finish_reason: str = "stop",
    between: Sequence[Step] = (),
    headers: Iterable[tuple[str, str]] = (),
) -> Reply:
    """A streamed answer, ended by `[DONE]` if `done`; `between` are the steps after each event, such as a pause."""
    chunks = chat_chunks(
        texts, model=model, usage=usage, include_usage_chunk=include_usage_chunk, finish_reason=finish_reason
    )
    ending: list[str | JSON] = ["[DONE]"] if done else []
    events: list[str | JSON | Step] = []
    for event in [*chunks, *ending]:
        events += [event, *between]
    return Reply.sse(events, headers=headers)


def openai_vendor_default(request: Received) -> Reply:
    """What a healthy vendor says to chat, embeddings, images and models, by the last segments of the path.

    Chat quotes the last message, counts words as tokens, and streams with usage as the request asks.
    """
    for path, answer in _ANSWERS.items():
        if request.path.endswith(path):
            return answer(request)
    return openai_error(404, f"no such path: {request.path}", code="not_found")


def openai_error(status: int, message: str, *, code: str = "error", headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Reply.json({"error": error}, status=status, headers=headers)


def words(text: str) -> int:
    """The tokens of a text, as this vendor counts them."""
    return len(text.split())


def _chat(request: Received) -> Reply:
    body = request.json()
    said = [_text(message.get("content")) for message in body["messages"]]
    answer = f"You said: {said[-1]}"
    tokens = sum(map(words, said)), words(answer)
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    model = body.get("model", MODEL)
    if not body.get("stream"):
        return chat_reply(answer, model=model, usage=usage)
    wanted = (body.get("stream_options") or {}).get("include_usage")
    pieces = answer.replace(" ", " \0").split("\0")
    return chat_stream(pieces, model=model, usage=usage if wanted else None)


def _embeddings(request: Received) -> Reply:
    given = request.json()["input"]
    texts = [given] if isinstance(given, str) else given
    data = [{"object": "embedding", "index": index, "embedding": [0.6, 0.8]} for index, _ in enumerate(texts)]
    tokens = sum(words(str(text)) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Reply.json({"object": "list", "data": data, "model": request.json().get("model", MODEL), "usage": usage})


def _images(request: Received) -> Reply:
    count = request.json().get("n") or 1
    return Reply.json({"created": CREATED, "data": [{"b64_json": _PNG}] * count})


def _models(_request: Received) -> Reply:
    model = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "fake"}
    return Reply.json({"object": "list", "data": [model]})


def _text(content: object) -> str:
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content if isinstance(content, str) else ""


_ANSWERS = {
    "/chat/completions": _chat,
    "/embeddings": _embeddings,
    "/images/generations": _images,
    "/models": _models,
}
