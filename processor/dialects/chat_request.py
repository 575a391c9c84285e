"""A client's chat request, read for dialects that are not OpenAI's: typed messages, and parameters taken one by one.

What a dialect does not take it cannot do: `Parameters.settle` refuses what is left, so nothing is ignored in silence.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from processor.dialects.base import Asked
from processor.errors import MalformedRequest
from processor.wire.json import JSON, JSONError, decode

T = TypeVar("T")

HINTS = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "user",
        "verbosity",
    }
)
"""Parameters that ask for nothing in particular: left out where a vendor has nothing like them. How hard to think is
one of them, and so is one call at a time, since agents say both to every model and can do without.
"""

_HARMLESS: Mapping[str, tuple[object, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "temperature": (1,),
    "tools": ([],),
    "tool_choice": ("auto",),
    "top_logprobs": (0,),
    "top_p": (1,),
}
"""Values that ask for what happens anyway; null is one for every parameter."""


class ImageURL(Struct, gc=False):
    """A picture by its address, which may be a `data:` URL."""

    url: str
    detail: str | None = None


class InputAudio(Struct, gc=False):
    """Sound in base64."""

    data: str
    format: str


class InputFile(Struct, gc=False):
    """A document: `file_data` is a `data:` URL."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(Struct, gc=False):
    """A piece of a message's content."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageURL | None = None
    input_audio: InputAudio | None = None
    file: InputFile | None = None
    cache_control: JSON | None = None


class Function(Struct, gc=False):
    """A call's function: `arguments` is JSON in a string."""

    name: str
    arguments: str = ""


class ToolCall(Struct, gc=False):
    """A call the model made."""

    id: str = ""
    function: Function | None = None
    type: str = "function"
    extra_content: JSON | None = None
    """`{"google": {"thought_signature": …}}`, as Google's own OpenAI endpoint has it."""


class Message(Struct, gc=False):
    """One message of the conversation."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[JSON] | None = None
    """What a model has to be shown of its own thinking, with signatures: `chat_answer.Details` writes them."""

    @property
    def parts(self) -> list[Part]:
        """The content as parts, none for an empty one."""
        if isinstance(self.content, str):
            return [Part(type="text", text=self.content)] if self.content else []
        return self.content or []


class FunctionTool(Struct, gc=False):
    """A function a model may call."""

    name: str
    description: str | None = None
    parameters: JSON | None = None
    strict: bool | None = None


class Tool(Struct, gc=False):
    """A tool; of OpenAI's kinds only functions have a meaning elsewhere."""

    type: str = "function"
    function: FunctionTool | None = None
    cache_control: JSON | None = None


@dataclass(frozen=True, slots=True)
class DataURL:
    """What a `data:` URL holds."""

    media_type: str
    base64: str

    @staticmethod
    def parse(url: str, *, param: str) -> DataURL | None:
        """Read one; None for any other URL.

        Raises:
            MalformedRequest: it is one, and not base64.
        """
        if url[:5].lower() != "data:":
            return None
        head, comma, data = url[5:].partition(",")
        media_type, *options = head.split(";")
        if not comma or "base64" not in [option.strip().lower() for option in options]:
            raise MalformedRequest("A data URL must be `data:<media type>;base64,<data>`.", param=param)
        return DataURL(media_type.strip().lower() or "application/octet-stream", data)

    def decode(self, *, param: str) -> bytes:
        """Its bytes, for vendors that do not take base64."""
        try:
            return b64decode(self.base64, validate=True)
        except binascii.Error:
            raise MalformedRequest("The data URL is not base64.", param=param) from None


class Parameters:
    """A request's top level: what a dialect understands is taken, and what is left at the end is refused."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._left = dict(asked.fields)
        for name in ("model", "stream"):
            self._left.pop(name, None)

    def take(self, name: str, kind: type[T] | Any, default: Any = None) -> Any:
        """A parameter as a value of `kind` (anything msgspec converts to); `default` when it is absent or null.

        Raises:
            MalformedRequest: it is something else.
        """
        raw = self._left.pop(name, None)
        if raw is None or bytes(memoryview(raw)[:4]) == b"null":
            return default
        return typed(raw, kind, name)

    def settle(self, *, hints: frozenset[str] = HINTS) -> None:
        """The rest of the parameters: hints and defaults may be left out, and all of them if that was configured.

        Raises:
            MalformedRequest: a parameter asks for something the vendor cannot do.
        """
        if self._asked.drop_params:
            return
        for name, raw in self._left.items():
            if name not in hints and not is_harmless(name, raw):
                raise unsupported(name, self._asked.model)


def is_harmless(name: str, raw: Raw) -> bool:
    """Whether a parameter asks only for what happens without it."""
    try:
        value = decode(raw)
    except JSONError:
        return False
    return value is None or any(value == known for known in _HARMLESS.get(name, ()))


def unsupported(param: str, model: str) -> MalformedRequest:
    """The refusal of a parameter that a vendor has nothing like."""
    message = f"The model `{model}` does not take `{param}`. Leave it out, or set `drop_params: true` in gateway.yaml."
    return MalformedRequest(message, param=param, code="unsupported_parameter")


def typed(raw: Raw | bytes, kind: type[T] | Any, param: str) -> Any:
    """A value of `kind`.

    Raises:
        MalformedRequest: it is something else; `param` names the place, such as `messages[0].content`.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        where = param + place.rstrip("`")
        raise MalformedRequest(f"`{where}`: {said.replace('`', '')}.", param=where) from None
    except JSONError as error:
        raise MalformedRequest(f"`{param}` is not JSON: {error}.", param=param, code="invalid_json") from None


def arguments_of(call: ToolCall, *, param: str) -> JSON:
    """A call's arguments as an object, for vendors that do not take them as a text.

    Raises:
        MalformedRequest: they are not one.
    """
    text = call.function.arguments.strip() if call.function else ""
    if not text:
        return {}
    try:
        value = decode(text.encode())
    except JSONError:
        value = None
    if not isinstance(value, dict):
        raise MalformedRequest(f"`{param}` must be a JSON object in a string.", param=param)
    return value


def text_of(message: Message, *, param: str) -> str:
    """A message's content where only text may stand, such as a system message.

    Raises:
        MalformedRequest: it holds something else.
    """
    for number, part in enumerate(message.parts):
        if part.type not in ("text", "refusal"):
            raise MalformedRequest(f"`{param}` may hold text only.", param=f"{param}.content[{number}]")
    return "\n".join(part.text or part.refusal or "" for part in message.parts)
