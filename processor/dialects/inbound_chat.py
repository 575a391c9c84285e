"""OpenAI's chat answers, read for those who write them anew in another dialect: whole, or chunk by chunk."""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from processor.wire.json import JSON, JSONError


class Function(Struct, gc=False):
    """A call's function, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class Call(Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: JSON | None = None

    @property
    def name(self) -> str:
        """Its function's; empty in all but the first piece."""
        return (self.function.name or "") if self.function else ""

    @property
    def arguments(self) -> str:
        """Its function's, or the next piece of them."""
        return (self.function.arguments or "") if self.function else ""


class Said(Struct, gc=False):
    """A message, or what a chunk adds to it."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[JSON] | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    annotations: list[JSON] | None = None

    @property
    def thought(self) -> str | None:
        """Its thinking, under either of its names."""
        return self.reasoning_content or self.reasoning


class Token(Struct, gc=False):
    """One that the model thought of."""

    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[Token] | None = None


class _Logprobs(Struct, gc=False):
    content: list[Token] | None = None


class Choice(Struct, gc=False):
    """One of the answers that were asked for."""

    index: int = 0
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    logprobs: Raw | UnsetType = UNSET

    def tokens(self) -> list[Token]:
        """Those of its text, if they were asked for; none if they are not of OpenAI's form."""
        if self.logprobs is UNSET or bytes(self.logprobs) == b"null":
            return []
        try:
            return _logprobs.decode(self.logprobs).content or []
        except JSONError:
            return []


class Answer(Struct, gc=False):
    """A completion or a chunk."""

    choices: list[Choice] | None = None
    usage: JSON | None = None
    model: str | None = None


_decoder = Decoder(Answer)
_logprobs = Decoder(_Logprobs)


def read(data: bytes) -> Answer | None:
    """A completion or a chunk; None for what is not of OpenAI's form."""
    try:
        return _decoder.decode(data)
    except JSONError:
        return None
