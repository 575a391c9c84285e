"""Changes to a chat request that a vendor's deviations ask for. Each is data with one method, and pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from processor.dialects.base import Asked
from processor.dialects.chat_request import HINTS, is_harmless, unsupported
from processor.dialects.openai_chat_messages import split
from processor.wire.json import Fields, decode, encode, raw

WITH_USAGE: dict[str, Any] = {"include_usage": True}
"""The `stream_options` that make a stream tell its usage."""

_FOREIGN_NAMES = frozenset({"reasoning", "reasoning_content", "reasoning_details", "extra_content"})
_FOREIGN = tuple(f'"{name}"'.encode() for name in sorted(_FOREIGN_NAMES))

ALL = ("*",)
NONE: tuple[str, ...] = ()


class Edit(Protocol):
    """Changes the copied top level of a request in place."""

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Make the change.

        Raises:
            MalformedRequest: what was asked for cannot be done.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drop:
    """Leave out parameters that the vendor does not take, and refuse the request if that would change its answer.

    Models are shell-style patterns, matched in lower case.
    """

    names: frozenset[str]
    models: tuple[str, ...] = ALL
    unless: tuple[str, ...] = NONE

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Leave them out."""
        if matches(asked.model, self.models) and not matches(asked.model, self.unless):
            for name in self.names & fields.keys():
                if not (asked.drop_params or name in HINTS or is_harmless(name, fields[name])):
                    raise unsupported(name, asked.model)
                del fields[name]


@dataclass(frozen=True, slots=True)
class Rename:
    """Send a parameter under the vendor's name, unless that is there too."""

    name: str
    vendors: str
    unless: tuple[str, ...] = NONE

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Rename it."""
        if self.name in fields and not matches(asked.model, self.unless):
            value = fields.pop(self.name)
            fields.setdefault(self.vendors, value)


@dataclass(frozen=True, slots=True)
class Clamp:
    """Keep a number within bounds."""

    name: str
    least: float
    most: float

    def apply(self, fields: Fields, asked: Asked) -> None:  # noqa: ARG002 - for every model
        """Move it to the nearer bound if it is outside."""
        value = decode(fields[self.name]) if self.name in fields else None
        if isinstance(value, int | float) and not isinstance(value, bool) and not self.least <= value <= self.most:
            fields[self.name] = raw(min(max(value, self.least), self.most))


@dataclass(frozen=True, slots=True)
class OneOf:
    """Of several names for one thing keep the first that is there."""

    names: tuple[str, ...]

    def apply(self, fields: Fields, asked: Asked) -> None:  # noqa: ARG002 - for every model
        """Drop the others."""
        for name in [name for name in self.names if name in fields][1:]:
            del fields[name]


@dataclass(frozen=True, slots=True)
class Listed:
    """Send a single value as a list of one."""

    name: str

    def apply(self, fields: Fields, asked: Asked) -> None:  # noqa: ARG002 - for every model
        """Wrap it."""
        if self.name in fields and isinstance(value := decode(fields[self.name]), str):
            fields[self.name] = raw([value])


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Send `tool_choice` only with the words the vendor takes. "none" is said to the others by offering no tools."""

    values: tuple[str, ...]

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Leave it out where that says the same, and refuse the request where it does not."""
        if "tool_choice" not in fields or (choice := decode(fields["tool_choice"])) in self.values:
            return
        if choice not in (None, "auto", "none") and not asked.drop_params:
            raise unsupported("tool_choice", asked.model)
        del fields["tool_choice"]
        if choice == "none":
            fields.pop("tools", None)


@dataclass(frozen=True, slots=True)
class Set:
    """Send a parameter the vendor needs, unless the client sent it."""

    name: str
    value: Any
    models: tuple[str, ...] = ALL
    whole_only: bool = False
    """Only where the answer is not streamed."""

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Add it."""
        if matches(asked.model, self.models) and not (self.whole_only and streams(fields)):
            fields.setdefault(self.name, raw(self.value))


@dataclass(frozen=True, slots=True)
class StreamOnly:
    """Ask models that only stream for a stream; a client that did not want one gets it folded into one answer."""

    models: tuple[str, ...]

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Ask for a stream."""
        if matches(asked.model, self.models) and not streams(fields):
            fields["stream"] = raw(value=True)
            fields["stream_options"] = raw(WITH_USAGE)


@dataclass(frozen=True, slots=True)
class LowerCaseModel:
    """Send the model's name in lower case."""

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Write it so."""
        if asked.model != asked.model.lower():
            fields["model"] = raw(asked.model.lower())


@dataclass(frozen=True, slots=True)
class Effort:
    """`reasoning_effort` as the vendor's own switch: the parameters for each effort, merged under the client's own."""

    settings: Mapping[str, Mapping[str, Any]]
    unless: tuple[str, ...] = NONE

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Replace it."""
        if "reasoning_effort" not in fields or matches(asked.model, self.unless):
            return
        effort = decode(fields.pop("reasoning_effort"))
        for name, value in self.settings.get(effort, {}).items() if isinstance(effort, str) else ():
            fields.setdefault(name, raw(value))


@dataclass(frozen=True, slots=True)
class SchemaToObject:
    """A `json_schema` answer from a vendor that knows `json_object` only: the schema goes into the prompt."""

    unless: tuple[str, ...] = NONE
    """Models that take the schema itself."""
    objects: bool = True
    """Whether the others take `json_object`; if not, the prompt is all there is."""

    def apply(self, fields: Fields, asked: Asked) -> None:
        """Rewrite `response_format` and add a system message, which has to say "JSON"."""
        if matches(asked.model, self.unless):
            return
        wanted = decode(fields["response_format"]) if "response_format" in fields else None
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            return
        described = wanted.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
        text = "Answer with one JSON object that follows this JSON schema: " + encode(schema or {}).decode()
        if self.objects:
            fields["response_format"] = raw({"type": "json_object"})
        else:
            del fields["response_format"]
        fields["messages"] = raw([raw({"role": "system", "content": text}), *split(fields)])


def matches(model: str, patterns: tuple[str, ...]) -> bool:
    """Whether a model's name fits one of the patterns."""
    return patterns is ALL or any(fnmatchcase(model.lower(), pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class OwnFields:
    """Leave out of messages what other vendors' models said beside OpenAI's own fields, which it refuses."""

    def apply(self, fields: Fields, asked: Asked) -> None:  # noqa: ARG002 - for every model
        """Strip them, if there are any."""
        written = bytes(fields.get("messages", b""))
        if not any(name in written for name in _FOREIGN):  # 20 MB of pictures are searched in 4 ms
            return
        fields["messages"] = raw([_own(decode(message)) for message in split(fields)])


def _own(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    own = {name: value for name, value in message.items() if name not in _FOREIGN_NAMES}
    if isinstance(calls := own.get("tool_calls"), list):
        own["tool_calls"] = list(map(_own, calls))
    return own


def streams(fields: Fields) -> bool:
    """Whether the request asks for a stream."""
    return "stream" in fields and bytes(fields["stream"]) == b"true"
