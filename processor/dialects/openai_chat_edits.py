"""Changes to a chat request that a vendor's deviations ask for. Each is data with one method, and pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from processor.errors import MalformedRequest
from processor.wire.json import JSON, Fields, decode, encode, raw


class Edit(Protocol):
    """Changes the copied top level of a request in place."""

    def apply(self, fields: Fields, model: str) -> None:
        """Make the change; `model` is the vendor's."""
        ...


@dataclass(frozen=True, slots=True)
class Drop:
    """Leave parameters out; with `models`, only for models whose names begin so, with `unless` for all others."""

    names: frozenset[str]
    models: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    def apply(self, fields: Fields, model: str) -> None:
        """Leave them out."""
        if self.models and not model.lower().startswith(self.models):
            return
        if self.unless and model.lower().startswith(self.unless):
            return
        for name in self.names & fields.keys():
            del fields[name]


@dataclass(frozen=True, slots=True)
class Rename:
    """Send a parameter under the vendor's name, unless that is there too."""

    name: str
    vendors: str

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Rename it."""
        if self.name in fields:
            value = fields.pop(self.name)
            fields.setdefault(self.vendors, value)


@dataclass(frozen=True, slots=True)
class Clamp:
    """Keep a number within bounds."""

    name: str
    least: float
    most: float

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Move it to the nearer bound if it is outside."""
        value = _number(fields, self.name)
        if value is not None and not self.least <= value <= self.most:
            fields[self.name] = raw(min(max(value, self.least), self.most))


@dataclass(frozen=True, slots=True)
class OneOf:
    """Of several names for one thing keep the first that is there."""

    names: tuple[str, ...]

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Drop the others."""
        for name in [name for name in self.names if name in fields][1:]:
            del fields[name]


@dataclass(frozen=True, slots=True)
class Keep:
    """Send a parameter only with the values the vendor takes."""

    name: str
    values: tuple[Any, ...]

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Drop it with any other value."""
        if self.name in fields and decode(fields[self.name]) not in self.values:
            del fields[self.name]


@dataclass(frozen=True, slots=True)
class Set:
    """Send a parameter the vendor needs, unless the client sent it."""

    name: str
    value: Any
    models: tuple[str, ...] = ()
    """Only for models whose names begin so; none: for all."""
    whole_only: bool = False
    """Only where the answer is not streamed."""

    def apply(self, fields: Fields, model: str) -> None:
        """Add it."""
        if self.models and not model.lower().startswith(self.models):
            return
        if self.whole_only and "stream" in fields and decode(fields["stream"]) is True:
            return
        fields.setdefault(self.name, raw(self.value))


@dataclass(frozen=True, slots=True)
class Effort:
    """`reasoning_effort` as the vendor's own switch: the parameters for each effort, merged under the client's own."""

    settings: Mapping[str, Mapping[str, Any]]

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Replace it."""
        if "reasoning_effort" not in fields:
            return
        effort = decode(fields.pop("reasoning_effort"))
        for name, value in self.settings.get(effort, {}).items() if isinstance(effort, str) else ():
            fields.setdefault(name, raw(value))


@dataclass(frozen=True, slots=True)
class SchemaToObject:
    """A `json_schema` answer from a vendor that knows `json_object` only: the schema goes into the prompt."""

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Rewrite `response_format` and add a system message, which has to say "json"."""
        wanted = decode(fields["response_format"]) if "response_format" in fields else None
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            return
        described = wanted.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
        fields["response_format"] = raw({"type": "json_object"})
        text = "Answer with one JSON object that follows this JSON schema: " + encode(schema or {}).decode()
        fields["messages"] = raw([{"role": "system", "content": text}, *_messages(fields)])


MessagesEdit = Callable[[list[JSON]], list[JSON]]


@dataclass(frozen=True, slots=True)
class Messages:
    """A change to the messages, which are only parsed where one of the needles stands in their bytes."""

    change: MessagesEdit
    needles: tuple[bytes, ...]

    def apply(self, fields: Fields, model: str) -> None:  # noqa: ARG002 - for every model
        """Parse, change, write."""
        data = bytes(fields.get("messages", b""))
        if any(needle in data for needle in self.needles):
            before = _messages(fields)
            after = self.change(before)
            if after != before:
                fields["messages"] = raw(after)


def _developer_to_system(messages: list[JSON]) -> list[JSON]:
    return [{**message, "role": "system"} if message.get("role") == "developer" else message for message in messages]


def _system_first(messages: list[JSON]) -> list[JSON]:
    """One system message, before all others; several are joined."""
    system = [message for message in messages if message.get("role") == "system"]
    others = [message for message in messages if message.get("role") != "system"]
    if not system:
        return messages
    text = "\n\n".join(_text(message.get("content")) for message in system)
    return [{"role": "system", "content": text}, *others]


def _merge_neighbours(messages: list[JSON]) -> list[JSON]:
    """Neighbours of one role as one message, where both are plain text."""
    merged: list[JSON] = []
    for message in messages:
        last = merged[-1] if merged else {}
        if _plain(message) and _plain(last) and last["role"] == message["role"]:
            merged[-1] = {**last, "content": f"{last['content']}\n\n{message['content']}"}
        else:
            merged.append(message)
    return merged


def _fill_empty_assistant(messages: list[JSON]) -> list[JSON]:
    """An assistant's turn that says nothing: a space, or null beside tool calls."""
    return [
        {**message, "content": None if message.get("tool_calls") else " "}
        if message.get("role") == "assistant" and message.get("content") == ""
        else message
        for message in messages
    ]


DEVELOPER_TO_SYSTEM = Messages(_developer_to_system, (b'"developer"',))
SYSTEM_FIRST = Messages(lambda messages: _system_first(_developer_to_system(messages)), (b'"system"', b'"developer"'))
MERGE_NEIGHBOURS = Messages(_merge_neighbours, (b'"user"', b'"assistant"'))
FILL_EMPTY_ASSISTANT = Messages(_fill_empty_assistant, (b'"assistant"',))


def _messages(fields: Fields) -> list[JSON]:
    found = decode(fields["messages"]) if "messages" in fields else []
    if not isinstance(found, list) or not all(isinstance(message, dict) for message in found):
        raise MalformedRequest("`messages` must be a list of objects.", param="messages")
    return found


def _plain(message: JSON) -> bool:
    return (
        message.get("role") in ("user", "assistant") and isinstance(message.get("content"), str) and len(message) == 2
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def _number(fields: Fields, name: str) -> float | None:
    value = decode(fields[name]) if name in fields else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
