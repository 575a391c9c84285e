"""DashScope's native messages, written from OpenAI's: plain text for text models, typed pieces for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from processor.dialects.chat_request import Message, Part, ToolCall, text_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def native(messages: list[Message], *, multimodal: bool) -> list[JSON]:
    """The conversation as `input.messages`.

    Raises:
        MalformedRequest: a role or a piece of content that DashScope has nothing like.
    """
    content = _pieces if multimodal else _text
    return [_message(message, content, f"messages[{number}]") for number, message in enumerate(messages)]


def _message(message: Message, content: Callable[[Message, str], str | list[JSON]], param: str) -> JSON:
    role = _ROLES.get(message.role)
    if role is None:
        raise MalformedRequest(f"The role `{message.role}` is not offered by this model.", param=f"{param}.role")
    optional = {
        "tool_calls": [_call(call, f"{param}.tool_calls[{number}]") for number, call in enumerate(_calls(message))],
        "tool_call_id": message.tool_call_id,
        # Qwen ignores it; other houses' models need it back between tool calls.
        "reasoning_content": message.reasoning_content,
    }
    return {
        "role": role,
        "content": content(message, param),
        **{name: found for name, found in optional.items() if found},
    }


def _calls(message: Message) -> list[ToolCall]:
    return message.tool_calls or []


def _call(call: ToolCall, param: str) -> JSON:
    if call.function is None:
        raise MalformedRequest(f"`{param}` must be a function's call.", param=param)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }


def _text(message: Message, param: str) -> str | list[JSON]:
    """A text; a list where the client marks what is to be cached, as that has no other place."""
    text = text_of(message, param=param)
    if not any(part.cache_control for part in message.parts):
        return text
    return [{"type": "text", **_said(part, param)} for part in message.parts]


def _pieces(message: Message, param: str) -> list[JSON]:
    return [_piece(part, f"{param}.content[{number}]") for number, part in enumerate(message.parts)]


def _piece(part: Part, param: str) -> JSON:
    writer = _PIECES.get(part.type)
    if writer is None:
        raise MalformedRequest(f"Content of type `{part.type}` is not offered by this model.", param=f"{param}.type")
    return writer(part, param)


def _said(part: Part, param: str) -> JSON:  # noqa: ARG001 - any text will do
    piece: JSON = {"text": part.text or part.refusal or ""}
    return {**piece, "cache_control": part.cache_control} if part.cache_control else piece


def _image(part: Part, param: str) -> JSON:
    if part.image_url is None:
        raise MalformedRequest(f"`{param}` must have an `image_url`.", param=f"{param}.image_url")
    return {"image": part.image_url.url}


def _audio(part: Part, param: str) -> JSON:
    if part.input_audio is None:
        raise MalformedRequest(f"`{param}` must have an `input_audio`.", param=f"{param}.input_audio")
    data = part.input_audio.data
    # Alibaba's own compatible mode takes a URL in OpenAI's place of the base64.
    is_address = data.startswith(("data:", "http://", "https://"))
    return {"audio": data if is_address else f"data:audio/{part.input_audio.format};base64,{data}"}


_PIECES: Mapping[str, Callable[[Part, str], JSON]] = {
    "text": _said,
    "refusal": _said,
    "image_url": _image,
    "input_audio": _audio,
}
"""By OpenAI's type; pictures and sound may be URLs or `data:` URLs alike."""
