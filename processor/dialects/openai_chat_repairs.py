"""Changes to a chat answer, whole or a stream's chunk, that turn a vendor's deviation into OpenAI's form.

The skim of an answer tells whether a repair is needed; only then is the answer parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import UNSET

from processor.dialects.openai_chat_skim import Choice, Skim
from processor.wire.json import JSON, encode


@dataclass(slots=True)
class SoFar:
    """What has passed of an answer: what a repair of a later chunk may have to know."""

    streamed: bool
    said: bool = False
    """Whether there was anything a client can use."""
    finished: bool = False
    """Whether there was a finish reason."""
    calls: dict[str, int] = field(default_factory=dict)
    """The tool calls' ids to their indices. As many as a vendor sends in one answer, whose events are bounded."""


class Repair(Protocol):
    """Turns one deviation into OpenAI's form."""

    def needed(self, seen: Skim, so_far: SoFar) -> bool:
        """Whether the answer may hold the deviation."""
        ...

    def apply(self, answer: JSON, so_far: SoFar) -> bool:
        """Change the parsed answer in place; tell whether anything changed."""
        ...


@dataclass(frozen=True, slots=True)
class FinishReasons:
    """The vendor's own finish reasons, by OpenAI's; None for one that says "not finished"."""

    reasons: Mapping[str, str | None]

    def needed(self, seen: Skim, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Whether one of them is there."""
        return any(choice.finish_reason in self.reasons for choice in seen.choices or ())

    def apply(self, answer: JSON, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Map each choice's."""
        found = [choice for choice in _choices(answer) if _word(choice.get("finish_reason")) in self.reasons]
        for choice in found:
            choice["finish_reason"] = self.reasons[choice["finish_reason"]]
        return bool(found)


@dataclass(frozen=True, slots=True)
class ReasoningContent:
    """`reasoning` (vLLM, Ollama) or `reasoning_details` (MiniMax), under the name most clients read."""

    def needed(self, seen: Skim, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Whether there is reasoning under another name only."""
        return any(
            said.reasoning_content is None and (said.reasoning is not None or said.detailed())
            for choice in seen.choices or ()
            if (said := choice.said())
        )

    def apply(self, answer: JSON, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Rename it. The details stay as well: MiniMax wants them back in the next turn."""
        changed = False
        for choice in _choices(answer):
            said = _said(choice)
            if said.get("reasoning_content") is not None:
                continue
            text = said.pop("reasoning", None) or _details(said.get("reasoning_details"))
            if isinstance(text, str) and text:
                said["reasoning_content"] = text
                changed = True
        return changed


@dataclass(frozen=True, slots=True)
class HoistUsage:
    """Moonshot's `choices[0].usage`, at the top where OpenAI has it."""

    def needed(self, seen: Skim, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Whether a choice has a usage."""
        return any(choice.usage is not UNSET for choice in seen.choices or ())

    def apply(self, answer: JSON, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Move it."""
        found = [choice.pop("usage") for choice in _choices(answer) if "usage" in choice]
        if found and not answer.get("usage"):
            answer["usage"] = found[0]
        return bool(found)


@dataclass(frozen=True, slots=True)
class SparkEnvelope:
    """Spark's answers have a `sid`, and neither `id` nor `object`, `created` and `model`."""

    def needed(self, seen: Skim, so_far: SoFar) -> bool:  # noqa: ARG002 - whatever came before
        """Whether the id is missing."""
        return not seen.id and bool(seen.sid)

    def apply(self, answer: JSON, so_far: SoFar) -> bool:
        """Fill in what clients with strict types insist on."""
        if answer.get("id") or not answer.get("sid"):
            return False
        answer["id"] = answer["sid"]
        answer.setdefault("object", "chat.completion.chunk" if so_far.streamed else "chat.completion")
        answer.setdefault("created", 0)
        answer.setdefault("model", "")
        return True


@dataclass(frozen=True, slots=True)
class MessageAtEnd:
    """A stream's last event that says the whole message again (MiniMax): only its end is news."""

    def needed(self, seen: Skim, so_far: SoFar) -> bool:
        """Whether a chunk holds a message."""
        return so_far.streamed and any(choice.message is not None for choice in seen.choices or ())

    def apply(self, answer: JSON, so_far: SoFar) -> bool:
        """Turn it into a chunk, without the message if its pieces have passed, without a choice if those have ended."""
        found = [choice for choice in _choices(answer) if so_far.streamed and "message" in choice]
        for choice in found:
            message = choice.pop("message")
            choice["delta"] = message if isinstance(message, dict) and not so_far.said else {}
        if found:
            answer["object"] = "chat.completion.chunk"
        if found and so_far.finished and answer.get("usage"):
            answer["choices"] = []
        return bool(found)


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Tool calls with an index of -1 or none (Zhipu), without id or type, one that stands outside a list (Spark), with
    arguments as an object, or with a finish reason that hides them (Ollama).
    """

    def needed(self, seen: Skim, so_far: SoFar) -> bool:
        """Whether there are any."""
        return any(
            _calls_in(choice) or (so_far.calls and choice.finish_reason == "stop") for choice in seen.choices or ()
        )

    def apply(self, answer: JSON, so_far: SoFar) -> bool:
        """Number them, complete them, write their arguments as text, say that they are why the answer ended."""
        changed = False
        for choice in _choices(answer):
            said = _said(choice)
            calls = said.get("tool_calls")
            if isinstance(calls, dict):
                calls = said["tool_calls"] = [calls]
                changed = True
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    before = encode(call)
                    _complete(call, so_far, str(answer.get("id") or ""))
                    changed |= encode(call) != before
            if so_far.calls and choice.get("finish_reason") == "stop":
                choice["finish_reason"] = "tool_calls"
                changed = True
        return changed


def _complete(call: JSON, so_far: SoFar, answer_id: str) -> None:
    known = so_far.calls
    index = call.get("index")
    if not isinstance(index, int) or index < 0:
        # A piece without an id goes on with the latest call.
        index = known.get(str(call["id"]), len(known)) if call.get("id") else max(len(known) - 1, 0)
    if so_far.streamed:
        call["index"] = index
    function = call.get("function")
    if not isinstance(function, dict):
        return
    if not so_far.streamed or index not in known.values():
        call["id"] = call.get("id") or f"call_{answer_id}_{len(known)}"
        call["type"] = call.get("type") or "function"
        known[str(call["id"])] = index if so_far.streamed else len(known)
        if function.get("arguments") in (None, ""):
            function["arguments"] = "" if so_far.streamed else "{}"
    if isinstance(function.get("arguments"), dict | list):
        function["arguments"] = encode(function["arguments"]).decode()


def _calls_in(choice: Choice) -> bool:
    said = choice.said()
    return said is not None and bool(said.tool_calls)


def _choices(answer: JSON) -> Iterator[JSON]:
    """The choices that are objects."""
    found = answer.get("choices")
    yield from (choice for choice in (found if isinstance(found, list) else ()) if isinstance(choice, dict))


def _said(choice: JSON) -> JSON:
    """A choice's message or delta; an empty one if it has none."""
    found = choice.get("delta") or choice.get("message")
    return found if isinstance(found, dict) else {}


def _details(details: Any) -> str:
    parts = details if isinstance(details, list) else ()
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None
