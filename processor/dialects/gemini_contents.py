"""An OpenAI conversation as Gemini's `systemInstruction` and `contents`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from processor.dialects.chat_request import Message, ToolCall, arguments_of, text_of
from processor.dialects.gemini_media import part_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON, JSONError, decode

SIGNATURE_FORMAT = "google-gemini-v1"
"""OpenRouter's name for Gemini's entries in `reasoning_details`."""

UNSIGNED = "skip_thought_signature_validator"
"""What Google documents for a call that Gemini did not make itself: without a signature Gemini 3 refuses it."""


def contents_of(messages: list[Message], *, signed: bool) -> JSON:
    """`contents`, and `systemInstruction` if there are instructions; with ids and signatures of calls if `signed`.

    Instructions that stand alone become the user's turn, since Gemini refuses a conversation without one.

    Raises:
        MalformedRequest: a message that cannot be said in Gemini's terms, or none that says anything.
    """
    turns = _Turns(signed)
    for number, message in enumerate(messages):
        turns.add(message, f"messages[{number}]")
    return turns.written()


class _Turns:
    """The conversation as far as it is translated. Neighbours of one kind are one turn."""

    def __init__(self, signed: bool) -> None:
        self._signed = signed
        self._system: list[JSON] = []
        self._turns: list[tuple[str, list[tuple[int, JSON]]]] = []
        """Kind and parts; each part with its place among the turn's, which for a tool's result is its call's."""
        self._calls: dict[str, tuple[int, str]] = {}
        """Place and function by id: a result names its function, which OpenAI's only knows by the call."""
        self._made = 0

    def add(self, message: Message, param: str) -> None:
        """Take the next message."""
        if message.role in ("system", "developer"):
            text = text_of(message, param=param)
            self._system += [{"text": text}] if text else []
        elif message.role == "user":
            self._say("user", self._parts(message, param))
        elif message.role == "assistant":
            self._say("model", [*self._said(message, param), *self._called(message, param)])
        elif message.role == "tool":
            place, part = self._result(message, param)
            self._say("tool", [part], place)
        else:
            role = f"{param}.role"
            raise MalformedRequest(f"`{role}`: there is no role `{message.role}`.", param=role)

    def written(self) -> JSON:
        """The request's fields."""
        contents = [
            {"role": "model" if kind == "model" else "user", "parts": [part for _, part in sorted(parts, key=_place)]}
            for kind, parts in self._turns
        ]
        if contents:
            return {**({"systemInstruction": {"parts": self._system}} if self._system else {}), "contents": contents}
        if self._system:
            return {"contents": [{"role": "user", "parts": self._system}]}
        raise MalformedRequest("`messages` must say something.", param="messages")

    def _say(self, kind: str, parts: list[JSON], place: int = 0) -> None:
        if not parts:
            return
        if not self._turns or self._turns[-1][0] != kind:
            self._turns.append((kind, []))
        self._turns[-1][1].extend((place, part) for part in parts)

    def _parts(self, message: Message, param: str) -> list[JSON]:
        """The content; empty texts, which Gemini refuses, are left out."""
        parts = [part_of(part, param=f"{param}.content[{at}]") for at, part in enumerate(message.parts)]
        return [part for part in parts if part.get("text") != ""]

    def _said(self, message: Message, param: str) -> list[JSON]:
        """What a model said, the signature of its thinking on the last text."""
        parts = self._parts(message, param)
        if message.refusal and not parts:
            parts = [{"text": message.refusal}]
        ids = {call.id for call in message.tool_calls or ()}
        signature = next((data for id_, data in _signatures(message.reasoning_details) if id_ not in ids), "")
        if signature:
            signed = next((part for part in reversed(parts) if "text" in part), None)
            if signed is None:
                signed = {"text": ""}
                parts.append(signed)
            signed["thoughtSignature"] = signature
        return parts

    def _called(self, message: Message, param: str) -> list[JSON]:
        """The calls a model made. Of several made at once Gemini signs the first."""
        signatures = dict(_signatures(message.reasoning_details))
        parts = []
        for at, call in enumerate(message.tool_calls or ()):
            place = f"{param}.tool_calls[{at}].function"
            if call.function is None:
                raise MalformedRequest(f"`{place}` is missing.", param=place)
            self._made += 1
            self._calls[call.id] = (self._made, call.function.name)
            function: JSON = {"name": call.function.name, "args": arguments_of(call, param=f"{place}.arguments")}
            part: JSON = {"functionCall": self._numbered(function, call.id)}
            signature = _signature(call) or signatures.get(call.id) or (UNSIGNED if self._signed and not at else "")
            if signature:
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def _result(self, message: Message, param: str) -> tuple[int, JSON]:
        known = self._calls.get(message.tool_call_id or "")
        if known is None:
            place = f"{param}.tool_call_id"
            raise MalformedRequest(f"`{place}` is not the id of a call in an earlier message.", param=place)
        made, name = known
        answer: JSON = {"name": name, "response": _response(text_of(message, param=param))}
        return made, {"functionResponse": self._numbered(answer, message.tool_call_id or "")}

    def _numbered(self, function: JSON, id_: str) -> JSON:
        return {"id": id_, **function} if self._signed and id_ else function


def _place(part: tuple[int, JSON]) -> int:
    return part[0]


def _response(text: str) -> JSON:
    """A tool's result, which has to be an object."""
    if text.lstrip().startswith("{"):
        try:
            found = decode(text.encode())
        except JSONError:
            found = None
        if isinstance(found, dict):
            return found
    return {"output": text}


def _signature(call: ToolCall) -> str:
    """The signature that came with a call in `extra_content`."""
    google: Any = (call.extra_content or {}).get("google")
    found = google.get("thought_signature") if isinstance(google, Mapping) else None
    return found if isinstance(found, str) else ""


def _signatures(details: list[JSON] | None) -> Iterable[tuple[str, str]]:
    """Gemini's own entries of `reasoning_details`: the call they belong to, empty for the text's, and the signature."""
    for entry in details or ():
        data = entry.get("data")
        if entry.get("format") == SIGNATURE_FORMAT and isinstance(data, str) and data:
            yield str(entry.get("id") or ""), data
