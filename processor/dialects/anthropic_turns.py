"""A client's conversation as Messages takes it: the system apart, and turns of user and assistant by turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from processor.dialects.chat_request import DataURL, Message, Part, ToolCall, arguments_of, text_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON

REASONING_FORMAT = "anthropic-claude-v1"
"""OpenRouter's name, in `reasoning_details`, for thinking that Claude knows again by its signature."""

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_OTHER_NAMES = {"image/jpg": "image/jpeg"}
_THINKING = frozenset({"thinking", "redacted_thinking"})
_ID_FORBIDS = re.compile(r"[^a-zA-Z0-9_-]")


class Conversation:
    """The messages, translated. Neighbours of one role become one turn: results of tools have to stand in one.

    `thinks` says whether the model knows thinking at all, and so takes it back.
    """

    def __init__(self, messages: list[Message], *, thinks: bool) -> None:
        self.system: list[JSON] = []
        self.turns: list[JSON] = []
        self.called: dict[str, None] = {}
        """The names of the tools that were called, in their order."""
        self._thinks = thinks
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
        return answers[-1][0]["type"] not in _THINKING

    def _system(self, message: Message, param: str) -> None:
        text_of(message, param=param)
        self.system += self._content(message, param)

    def _user(self, message: Message, param: str) -> None:
        self._add("user", self._content(message, param))

    def _assistant(self, message: Message, param: str) -> None:
        blocks = self._content(message, param)
        if message.refusal and not message.parts:
            blocks.append({"type": "text", "text": message.refusal})
        for number, call in enumerate(message.tool_calls or ()):
            blocks.append(self._call(call, f"{param}.tool_calls[{number}]"))
        if blocks and self._thinks:  # thinking alone is refused
            blocks = [*_thinking(message), *blocks]
        self._add("assistant", blocks)

    def _tool(self, message: Message, param: str) -> None:
        if not message.tool_call_id:
            raise MalformedRequest(f"`{param}.tool_call_id` is missing.", param=f"{param}.tool_call_id")
        result: JSON = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id)}
        blocks = self._content(message, param)
        if blocks and "cache_control" in blocks[-1]:  # it marks the whole result
            result["cache_control"] = blocks[-1].pop("cache_control")
        if blocks:
            only = blocks[0] if len(blocks) == 1 else {}
            result["content"] = only["text"] if only.get("type") == "text" else blocks
        self._add("user", [result])

    def _call(self, call: ToolCall, param: str) -> JSON:
        if call.function is None:
            raise MalformedRequest(f"`{param}` is not the call of a function.", param=param)
        self.called[call.function.name] = None
        arguments = arguments_of(call, param=f"{param}.function.arguments")
        return {"type": "tool_use", "id": _id(call.id), "name": call.function.name, "input": arguments}

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
        """An answer that the model is to go on with holds no thinking, and may not end in white space."""
        if not self.turns or self.turns[-1]["role"] != "assistant":
            return
        turn = self.turns[-1]
        turn["content"] = [block for block in turn["content"] if block["type"] not in _THINKING]
        last = turn["content"][-1]
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


def _id(text: str) -> str:
    """A call's id in the letters Anthropic takes: another vendor may have made it."""
    return _ID_FORBIDS.sub("_", text) or "_"


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
    if part.file is None or not url:
        raise MalformedRequest(f"`{param}`: send a file as a data URL in `file_data`.", param=f"{param}.file")
    block: JSON = {"type": "document", "source": _document(url, f"{param}.file.file_data")}
    return {**block, "title": part.file.filename} if part.file.filename else block


def _document(url: str, param: str) -> JSON:
    data = DataURL.parse(url, param=param)
    if data is None:
        if not url.startswith("https://"):
            raise MalformedRequest(f"`{param}` must be a data URL, or the address of a PDF.", param=param)
        return {"type": "url", "url": url}
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
