"""The `input` of an OpenAI `/responses` request as a chat's messages.

Items are pieces of turns: what a model thought, said and called comes as several of them, and is one chat message.
A reasoning item's `encrypted_content` carries what vendors want to see again, a chat's `reasoning_details` and its
calls' `extra_content`; the client sends it back unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import Raw, Struct

from processor.dialects.chat_request import InputAudio, typed
from processor.dialects.inbound_seal import changed, is_sealed, unsealed
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_CALL = "gateway.call"
"""The type of an entry that belongs to a call, beside those of `reasoning_details`."""
_FOREIGN = "openai-responses-v1"
"""OpenRouter's name for thinking that OpenAI encrypted."""

_ROLES = frozenset({"user", "system", "developer"})

NO_STATE = "The gateway keeps no state"


class Piece(Struct, gc=False):
    """A piece of an item's content."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: InputAudio | None = None


class Item(Struct, gc=False):
    """An item of the input; which fields it has is a matter of its type."""

    type: str | None = None
    role: str | None = None
    content: str | list[Piece] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Piece] | None = None
    summary: list[Piece] | None = None
    encrypted_content: str | None = None


def messages_of(raw: Raw, *, drop_params: bool) -> list[JSON]:
    """The conversation; items that a chat has nothing like are left out if `drop_params`.

    Raises:
        MalformedRequest: an item is wrong, or has no place in a chat; its number is in `param`.
    """
    found = typed(raw, str | list[Item], "input")
    if isinstance(found, str):
        return [{"role": "user", "content": found}]
    conversation = _Conversation()
    for number, item in enumerate(found):
        place = f"input[{number}]"
        kind = item.type or ("message" if item.role else "item_reference")
        if kind == "item_reference":
            raise MalformedRequest(f"{NO_STATE}: send the item itself instead of a reference.", param=place)
        if reader := _ITEMS.get(kind):
            reader(conversation, item, place)
        elif not drop_params:
            raise MalformedRequest(f"Items of type `{kind}` are not offered.", param=f"{place}.type")
    return conversation.ended()


def call_detail(call_id: str, extra_content: JSON) -> JSON:
    """What a vendor wants to see again of a call, as an entry to be sealed: Gemini signs its calls so."""
    return {"type": _CALL, "call_id": call_id, "extra_content": extra_content}


def _unsealed(content: str, param: str) -> list[JSON]:
    if not is_sealed(content):
        return [{"type": "reasoning.encrypted", "data": content, "format": _FOREIGN}]
    details = unsealed(content, param=param)
    if not isinstance(details, list) or not all(isinstance(detail, dict) for detail in details):
        raise changed(param)
    return details


@dataclass(slots=True)
class _Turn:
    """What the model did between two messages of the other side."""

    thoughts: list[str] = field(default_factory=list)
    details: list[JSON] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[JSON] = field(default_factory=list)
    extras: dict[str, JSON] = field(default_factory=dict)
    """What belongs to the calls, by their ids."""

    def message(self) -> JSON | None:
        """It as a message; None for nothing, or for thinking that led nowhere."""
        if not self.texts and not self.calls:
            return None
        optional = {
            "reasoning_content": "\n\n".join(self.thoughts),
            "reasoning_details": self.details,
            "tool_calls": [{**call, **self.extras.get(call["id"], {})} for call in self.calls],
        }
        content = "".join(self.texts) if self.texts else None
        said = {name: value for name, value in optional.items() if value}
        return {"role": "assistant", "content": content, **said}


class _Conversation:
    """Messages under construction."""

    def __init__(self) -> None:
        self._messages: list[JSON] = []
        self._turn = _Turn()

    def ended(self) -> list[JSON]:
        """All of them."""
        self._end_turn()
        return self._messages

    def message(self, item: Item, place: str) -> None:
        """A message of either side."""
        _need(item, "content", place)
        if item.role == "assistant":
            if self._turn.texts and not self._turn.calls:
                self._end_turn()
            self._turn.texts.append(_text(item.content, f"{place}.content"))
            return
        if item.role not in _ROLES:
            raise MalformedRequest(f"There is no role `{item.role or ''}`.", param=f"{place}.role")
        self._add({"role": item.role, "content": _content(item.content, f"{place}.content")})

    def reasoning(self, item: Item, place: str) -> None:
        """What the model thought: it belongs to what it did next."""
        content = item.encrypted_content
        entries = _unsealed(content, f"{place}.encrypted_content") if content else []
        details = [entry for entry in entries if entry.get("type") != _CALL]
        written = item.summary or (item.content if isinstance(item.content, list) else None) or []
        thought = "\n\n".join(piece.text for piece in written if piece.text)
        if (thought or details) and self._turn.texts and not self._turn.calls:
            self._end_turn()
        self._turn.thoughts += [thought] if thought else []
        self._turn.details += details
        for entry in entries:
            if entry.get("type") == _CALL:
                self._turn.extras[str(entry.get("call_id"))] = {"extra_content": entry.get("extra_content")}

    def call(self, item: Item, place: str) -> None:
        """A function the model called."""
        _need(item, "call_id", place)
        _need(item, "name", place)
        function = {"name": item.name, "arguments": item.arguments or ""}
        self._turn.calls.append({"id": item.call_id, "type": "function", "function": function})

    def output(self, item: Item, place: str) -> None:
        """What the function returned."""
        _need(item, "call_id", place)
        _need(item, "output", place)
        content = _content(item.output, f"{place}.output")
        self._add({"role": "tool", "tool_call_id": item.call_id, "content": content})

    def _add(self, message: JSON) -> None:
        self._end_turn()
        self._messages.append(message)

    def _end_turn(self) -> None:
        if message := self._turn.message():
            self._messages.append(message)
        self._turn = _Turn()


_ITEMS: Mapping[str, Callable[[_Conversation, Item, str], None]] = {
    "message": _Conversation.message,
    "reasoning": _Conversation.reasoning,
    "function_call": _Conversation.call,
    "function_call_output": _Conversation.output,
}


def _need(item: Item, name: str, place: str) -> None:
    if getattr(item, name) is None:
        raise MalformedRequest(f"`{place}.{name}` is missing.", param=f"{place}.{name}")


def _content(content: str | list[Piece] | None, place: str) -> str | list[JSON]:
    """A message's content; text alone becomes a string, which every vendor takes."""
    if not isinstance(content, list):
        return content or ""
    parts = list(_parts(content, place))
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _text(content: str | list[Piece] | None, place: str) -> str:
    """What the model said; of a refusal its text."""
    if not isinstance(content, list):
        return content or ""
    for number, piece in enumerate(content):
        if piece.type not in ("output_text", "input_text", "text", "refusal"):
            raise MalformedRequest("An assistant's message may hold text only.", param=f"{place}[{number}].type")
    return "".join(piece.text or piece.refusal or "" for piece in content)


def _parts(content: list[Piece], place: str) -> Iterator[JSON]:
    for number, piece in enumerate(content):
        if (reader := _PARTS.get(piece.type)) is None:
            message = f"Content of type `{piece.type}` is not offered."
            raise MalformedRequest(message, param=f"{place}[{number}].type")
        yield reader(piece, f"{place}[{number}]")


def _text_part(piece: Piece, _: str) -> JSON:
    return {"type": "text", "text": piece.text or ""}


def _image_part(piece: Piece, place: str) -> JSON:
    if not piece.image_url:
        raise MalformedRequest("An image needs its `image_url`: the gateway keeps no files.", param=place)
    image = {"url": piece.image_url}
    return {"type": "image_url", "image_url": {**image, "detail": piece.detail} if piece.detail else image}


def _file_part(piece: Piece, place: str) -> JSON:
    if not piece.file_data:
        raise MalformedRequest("A file needs its `file_data`: the gateway keeps no files.", param=place)
    file = {"file_data": piece.file_data, "filename": piece.filename}
    return {"type": "file", "file": {name: value for name, value in file.items() if value}}


def _audio_part(piece: Piece, place: str) -> JSON:
    if piece.input_audio is None:
        raise MalformedRequest(f"`{place}.input_audio` is missing.", param=place)
    sound = {"data": piece.input_audio.data, "format": piece.input_audio.format}
    return {"type": "input_audio", "input_audio": sound}


_PARTS: Mapping[str, Callable[[Piece, str], JSON]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}
