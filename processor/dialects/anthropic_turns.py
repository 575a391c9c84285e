"""A client's conversation as Messages takes it: the system apart, and turns of user and assistant by turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from processor.dialects.chat_request import DataURL, Message, Part, ToolCall, arguments_of, text_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON

REASONING_FORMAT = "anthropic-claude-v1"
"""OpenRouter's name, in `reasoning_details`, for thinking that Claude knows again by its signature."""

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_OTHER_NAMES = {"image/jpg": "image/jpeg"}


class Conversation:
    """The messages, translated. Neighbours of one role become one turn: results of tools have to stand in one."""

    def __init__(self, messages: list[Message]) -> None:
        self.system: list[JSON] = []
        self.turns: list[JSON] = []
        for number, message in enumerate(messages):
            param = f"messages[{number}]"
            reader = self._READERS.get(message.role)
            if reader is None:
                raise MalformedRequest(f"`{param}.role`: no role is called `{message.role}`.", param=f"{param}.role")
            reader(self, message, param)
        self._trim_prefill()

    @property
    def forgot_thinking(self) -> bool:
        """Whether the client gave the latest calls back without the thinking before them, which Claude refuses."""
        answers = [turn["content"] for turn in self.turns if turn["role"] == "assistant"]
        if not answers or self.turns[-1]["role"] != "user" or self.turns[-1]["content"][0]["type"] != "tool_result":
            return False
        return answers[-1][0]["type"] not in ("thinking", "redacted_thinking")

    def _system(self, message: Message, param: str) -> None:
        text_of(message, param=param)
        self.system += self._content(message, param)

    def _user(self, message: Message, param: str) -> None:
        self._add("user", self._content(message, param))

    def _assistant(self, message: Message, param: str) -> None:
        blocks = [*_thinking(message), *self._content(message, param)]
        if message.refusal and not message.parts:
            blocks.append({"type": "text", "text": message.refusal})
        for number, call in enumerate(message.tool_calls or ()):
            blocks.append(_call(call, f"{param}.tool_calls[{number}]"))
        self._add("assistant", blocks)

    def _tool(self, message: Message, param: str) -> None:
        if not message.tool_call_id:
            raise MalformedRequest(f"`{param}.tool_call_id` is missing.", param=f"{param}.tool_call_id")
        result: JSON = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        blocks = self._content(message, param)
        if blocks and "cache_control" in blocks[-1]:  # it marks the whole result
            result["cache_control"] = blocks[-1].pop("cache_control")
        only = blocks[0] if len(blocks) == 1 else {}
        result["content"] = only["text"] if only.get("type") == "text" else blocks
        self._add("user", [result])

    def _content(self, message: Message, param: str) -> list[JSON]:
        blocks = []
        for number, part in enumerate(message.parts):
            where = f"{param}.content[{number}]" if isinstance(message.content, list) else f"{param}.content"
            maker = _PARTS.get(part.type)
            if maker is None:
                raise MalformedRequest(f"`{where}`: Claude takes no part of type `{part.type}`.", param=f"{where}.type")
            if block := maker(part, where):
                blocks.append({**block, "cache_control": part.cache_control} if part.cache_control else block)
        return blocks

    def _add(self, role: str, blocks: list[JSON]) -> None:
        if not blocks:
            return
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": []})
        content: list[JSON] = self.turns[-1]["content"]
        content += blocks
        # The results of tools come first in the turn that answers the calls.
        content.sort(key=lambda block: role == "user" and block["type"] != "tool_result")

    def _trim_prefill(self) -> None:
        """An answer that the model is to go on with may not end in white space."""
        if self.turns and self.turns[-1]["role"] == "assistant":
            last = self.turns[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()

    _READERS: Mapping[str, Callable[[Conversation, Message, str], None]] = {
        "system": _system,
        "developer": _system,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
    }


def _thinking(message: Message) -> Iterator[JSON]:
    """The thinking Claude will know again; what another vendor signed, or nobody, is left out."""
    for detail in message.reasoning_details or ():
        if detail.get("format") not in (None, REASONING_FORMAT):
            continue
        if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
            yield {"type": "redacted_thinking", "data": detail["data"]}
        elif detail.get("signature"):
            yield {"type": "thinking", "thinking": detail.get("text") or "", "signature": detail["signature"]}


def _call(call: ToolCall, param: str) -> JSON:
    if call.function is None:
        raise MalformedRequest(f"`{param}` is not the call of a function.", param=param)
    arguments = arguments_of(call, param=f"{param}.function.arguments")
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": arguments}


def _text(part: Part, _: str) -> JSON | None:
    """Blank text is refused, and says nothing."""
    text = part.text or part.refusal or ""
    return {"type": "text", "text": text} if text.strip() else None


def _image(part: Part, param: str) -> JSON:
    if part.image_url is None:
        raise MalformedRequest(f"`{param}` holds no picture.", param=param)
    where = f"{param}.image_url.url"
    data = DataURL.parse(part.image_url.url, param=where)
    if data is None:
        return {"type": "image", "source": {"type": "url", "url": part.image_url.url}}
    media_type = _OTHER_NAMES.get(data.media_type, data.media_type)
    if media_type not in _IMAGES:
        raise MalformedRequest(f"`{where}`: a picture must be PNG, JPEG, GIF or WebP.", param=where)
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data.base64}}


def _file(part: Part, param: str) -> JSON:
    url = part.file.file_data if part.file else None
    where = f"{param}.file.file_data"
    data = DataURL.parse(url, param=where) if url else None
    if part.file is None or data is None:
        raise MalformedRequest(f"`{param}`: send a file as a data URL in `file_data`.", param=f"{param}.file")
    block: JSON = {"type": "document", "source": _document(data, where)}
    return {**block, "title": part.file.filename} if part.file.filename else block


def _document(data: DataURL, param: str) -> JSON:
    if data.media_type == "application/pdf":
        return {"type": "base64", "media_type": data.media_type, "data": data.base64}
    if not data.media_type.startswith("text/"):
        raise MalformedRequest(f"`{param}`: a document must be a PDF or text.", param=param)
    try:
        text = data.decode(param=param).decode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"`{param}` is not text in UTF-8.", param=param) from None
    return {"type": "text", "media_type": "text/plain", "data": text}


_PARTS: Mapping[str, Callable[[Part, str], JSON | None]] = {
    "text": _text,
    "refusal": _text,
    "image_url": _image,
    "file": _file,
}
