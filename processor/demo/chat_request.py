"""A chat completion request, as far as the demo vendor looks at it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from processor.errors import MalformedRequest

_MOST_CHOICES = 16


class Part(msgspec.Struct, frozen=True):
    """One part of a message: a text, or something else with an empty one."""

    text: str = ""


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: str
    content: str | list[Part] | None = None

    def text(self) -> str:
        """Its texts in one."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class Function(msgspec.Struct, frozen=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool; the demo calls only functions."""

    function: Function | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """The one tool that must be called."""

    function: Function


class Schema(msgspec.Struct, frozen=True):
    """The schema an answer must fit."""

    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """Whether the answer is prose or JSON."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: Schema | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream holds besides the answer."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """`POST /chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=_MOST_CHOICES)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    response_format: ResponseFormat | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def token_limit(self) -> int | None:
        """The longest answer, in tokens."""
        return self.max_completion_tokens or self.max_tokens

    def said(self) -> str:
        """The last thing the user said; empty when the user said nothing."""
        return next((message.text() for message in reversed(self.messages) if message.role == "user"), "")

    def forced_function(self) -> Function | None:
        """The function that `tool_choice` leaves no way around; None when prose is an answer too.

        Raises:
            MalformedRequest: it is not among the tools.
        """
        functions = [tool.function for tool in self.tools or () if tool.function]
        if isinstance(self.tool_choice, ToolChoice):
            wanted = self.tool_choice.function.name
            functions = [function for function in functions if function.name == wanted]
        elif self.tool_choice != "required":
            return None
        if not functions:
            raise MalformedRequest("`tool_choice` asks for a function that is not in `tools`.", param="tool_choice")
        return functions[0]
