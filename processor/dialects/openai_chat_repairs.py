"""Changes to a chat answer, whole or a stream's chunk, that turn a vendor's deviation into OpenAI's form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from processor.dialects.vendor_errors import error_inside, refused
from processor.errors import UpstreamRefused
from processor.wire.json import JSON, encode


class Repair(Protocol):
    """Changes a parsed answer in place. It is only parsed if one of the needles stands in its bytes."""

    @property
    def needles(self) -> tuple[bytes, ...]:
        """What to search for before parsing."""
        ...

    def apply(self, answer: JSON) -> None:
        """Make the change."""
        ...


@dataclass(frozen=True, slots=True)
class FinishReasons:
    """The vendor's own finish reasons, by OpenAI's."""

    reasons: Mapping[str, str]

    @property
    def needles(self) -> tuple[bytes, ...]:
        """The reasons as JSON strings."""
        return tuple(encode(reason) for reason in self.reasons)

    def apply(self, answer: JSON) -> None:
        """Map each choice's."""
        for choice in choices(answer):
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason in self.reasons:
                choice["finish_reason"] = self.reasons[reason]


@dataclass(frozen=True, slots=True)
class ReasoningContent:
    """vLLM's and Ollama's `reasoning`, under the name most clients read."""

    needles: tuple[bytes, ...] = (b'"reasoning"',)

    def apply(self, answer: JSON) -> None:
        """Rename it in each message or delta."""
        for message in messages(answer):
            if "reasoning" in message:
                value = message.pop("reasoning")
                message.setdefault("reasoning_content", value)


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Tool calls with an index of -1 or none (Zhipu), arguments as an object, or one call without its list (Spark)."""

    needles: tuple[bytes, ...] = (b'"tool_calls"',)

    def apply(self, answer: JSON) -> None:
        """Number them, write their arguments as text."""
        for message in messages(answer):
            calls = message.get("tool_calls")
            if isinstance(calls, dict):
                calls = message["tool_calls"] = [calls]
            for number, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, dict):
                    _repair_call(call, number, streamed="delta" in _holder(answer))


@dataclass(frozen=True, slots=True)
class HoistUsage:
    """Moonshot's `choices[0].usage`, at the top where OpenAI has it."""

    needles: tuple[bytes, ...] = (b'"usage"',)

    def apply(self, answer: JSON) -> None:
        """Move it."""
        for choice in choices(answer):
            if isinstance(usage := choice.pop("usage", None), dict) and not answer.get("usage"):
                answer["usage"] = usage


@dataclass(frozen=True, slots=True)
class MissingId:
    """Spark's answers have a `sid` and no `id`."""

    needles: tuple[bytes, ...] = (b'"sid"',)

    def apply(self, answer: JSON) -> None:
        """Make the one the other."""
        if not answer.get("id") and (sid := answer.get("sid")):
            answer["id"] = sid


ErrorCheck = Callable[[JSON], UpstreamRefused | None]
"""Finds the error an answer with status 200 holds."""


@dataclass(frozen=True, slots=True)
class CodeInside:
    """An error reported as a code inside a 200; OpenAI's own `error` is always looked for."""

    place: tuple[str, ...]
    """Keys down to the code, such as `base_resp`, `status_code`."""
    message: str
    """The key of the message beside it."""
    statuses: Mapping[int, int]
    """The HTTP status each code means; 502 for others."""

    @property
    def needle(self) -> bytes:
        """What to search for before parsing."""
        return encode(self.place[0])

    def __call__(self, answer: JSON) -> UpstreamRefused | None:
        """The error, if the code is there and is not 0."""
        value: Any = answer
        for name in self.place[:-1]:
            value = value.get(name)
            if not isinstance(value, dict):
                return None
        code = value.get(self.place[-1])
        if not isinstance(code, int) or code == 0:
            return None
        message = value.get(self.message)
        return refused(
            self.statuses.get(code, 502), str(message or f"The vendor reported error {code}."), code=str(code)
        )


def error_in(answer: JSON, check: ErrorCheck | None) -> UpstreamRefused | None:
    """The error an answer or a chunk holds."""
    return error_inside(answer) or (check(answer) if check else None)


def choices(answer: JSON) -> Iterator[JSON]:
    """The choices that are objects."""
    found = answer.get("choices")
    yield from (choice for choice in (found if isinstance(found, list) else ()) if isinstance(choice, dict))


def messages(answer: JSON) -> Iterator[JSON]:
    """Each choice's message or delta."""
    for choice in choices(answer):
        message = choice.get("delta") or choice.get("message")
        if isinstance(message, dict):
            yield message


def generated_text(answer: JSON) -> Iterator[str]:
    """What a chunk or an answer says: content, reasoning, refusals, tool calls' names and arguments."""
    for message in messages(answer):
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            if isinstance(text := message.get(name), str) and text:
                yield text
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                yield from (text for text in (function.get("name"), function.get("arguments")) if isinstance(text, str))


def finished(answer: JSON) -> bool:
    """Whether a choice has come to its end."""
    return any(choice.get("finish_reason") for choice in choices(answer))


def _holder(answer: JSON) -> JSON:
    return next(choices(answer), {})


def _repair_call(call: JSON, number: int, *, streamed: bool) -> None:
    if streamed and (not isinstance(call.get("index"), int) or call["index"] < 0):
        call["index"] = number
    function = call.get("function")
    if isinstance(function, dict) and isinstance(function.get("arguments"), dict | list):
        function["arguments"] = encode(function["arguments"]).decode()
