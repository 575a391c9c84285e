"""How a vendor's answer is read until the client's is known: whole, streamed, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from processor.dialects.base import Asked, ClientResponse, Pending, StreamTranslator, Translator
from processor.dialects.vendor_errors import refusal
from processor.domain import Usage, UsageSource
from processor.errors import UpstreamProtocolError
from processor.policy.estimate import estimate_tokens

_WHOLE_LIMIT = 128 * 1024 * 1024
"""Bytes of a whole answer: four images of the largest size in base64, with room."""
_ERROR_LIMIT = 1024 * 1024
"""Bytes of an error's body that are read; the rest says nothing new."""

_NO_ANSWER = ClientResponse(body=b"", usage=None, model="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What an answer cost, as far as it is known."""

    usage: Usage
    source: UsageSource
    model: str
    malformed: int = 0
    """Events of its stream that could not be read, and were left out."""


def counts(usage: Usage) -> dict[str, str | float]:
    """A usage as a record has it."""
    found: dict[str, str | float] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    return found if usage.seconds is None else {**found, "seconds": usage.seconds}


class Reader(Protocol):
    """Reads one answer. `feed` and `close` return the client's bytes, and raise UpstreamError for a vendor's error."""

    streams: bool
    """Whether the client's bytes come piece by piece; if not, `close` returns them all."""
    pending: Pending | None
    """The calls that the rest of the answer takes, after `close`; `resume` gives it their bodies."""

    @property
    def content_type(self) -> str:
        """Of the client's answer; empty for the vendor's own."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the vendor's last event has passed, though its body may not have ended."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the client's answer may begin: from here on nothing is tried again."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes."""
        ...

    def close(self) -> bytes:
        """The vendor's body has ended."""
        ...

    def resume(self, bodies: tuple[bytes, ...]) -> bytes:
        """Go on with the bodies of the pending calls; the client's bytes, unless more calls are pending."""
        ...

    def tally(self, *, request_size: int, finished: bool) -> Tally:
        """What it cost; `request_size` (bytes) is what the input is estimated from when the vendor gave no count."""
        ...


class WholeReader:
    """An answer of which nothing is sent before all of it has been read."""

    streams = False
    ready = False
    complete = False

    def __init__(self, translator: Translator, asked: Asked) -> None:
        self._translator = translator
        self._asked = asked
        self._body = bytearray()
        self._answer: ClientResponse | None = None
        self.pending: Pending | None = None

    @property
    def content_type(self) -> str:
        """The translated answer's."""
        return self._answer.content_type if self._answer else ""

    def feed(self, chunk: bytes) -> bytes:
        """Keep the bytes."""
        self._body += chunk
        if len(self._body) > _WHOLE_LIMIT:
            raise UpstreamProtocolError(f"The vendor's answer is larger than {_WHOLE_LIMIT} bytes.")
        return b""

    def close(self) -> bytes:
        """Translate the whole answer."""
        body = bytes(self._body)
        self._body.clear()
        return self._take(self._translator.response(body, self._asked))

    def resume(self, bodies: tuple[bytes, ...]) -> bytes:
        """Go on."""
        pending, self.pending = self.pending, None
        return self._take(pending.then(bodies)) if pending else b""

    def tally(self, *, request_size: int, finished: bool) -> Tally:
        """The vendor's count, or an estimate."""
        return _tally(self._answer or _NO_ANSWER, request_size=request_size, finished=finished)

    def _take(self, answer: ClientResponse | Pending) -> bytes:
        if isinstance(answer, Pending):
            self.pending = answer
            return b""
        self._answer = answer
        return answer.body


class StreamReader:
    """A stream of events, held until the first that a client can use."""

    streams = True
    pending: Pending | None = None

    def __init__(self, translator: StreamTranslator) -> None:
        self._translator = translator
        self._held = bytearray()

    @property
    def content_type(self) -> str:
        """The translator's."""
        return self._translator.content_type

    @property
    def complete(self) -> bool:
        """Whether the vendor has said its last."""
        return self._translator.complete

    @property
    def ready(self) -> bool:
        """Whether content has been seen."""
        return self._translator.content_seen

    def feed(self, chunk: bytes) -> bytes:
        """Translate; what comes before the first content is kept back and goes with it."""
        out = self._translator.feed(chunk)
        if not self.ready:
            self._held += out
            return b""
        return self._release(out)

    def close(self) -> bytes:
        """Translate what is left."""
        return self._release(self._translator.close())

    def resume(self, bodies: tuple[bytes, ...]) -> bytes:  # noqa: ARG002 - a stream waits for no calls
        """Nothing."""
        return b""

    def tally(self, *, request_size: int, finished: bool) -> Tally:
        """The vendor's count, or an estimate."""
        return _tally(self._translator, request_size=request_size, finished=finished)

    def _release(self, out: bytes) -> bytes:
        if not self._held:
            return out
        held = bytes(self._held) + out
        self._held.clear()
        return held


class RefusalReader:
    """A vendor's error: read, then raised in OpenAI's terms."""

    streams = False
    ready = False
    complete = False
    pending: Pending | None = None
    content_type = ""

    def __init__(self, status: int, vendor: str) -> None:
        self._status = status
        self._vendor = vendor
        self._body = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Keep the bytes, up to a limit."""
        if len(self._body) < _ERROR_LIMIT:
            self._body += chunk
        return b""

    def close(self) -> bytes:
        """Raise what the vendor said."""
        raise refusal(self._status, bytes(self._body), vendor=self._vendor)

    def resume(self, bodies: tuple[bytes, ...]) -> bytes:  # noqa: ARG002 - an error waits for no calls
        """Nothing."""
        return b""

    def tally(self, *, request_size: int, finished: bool) -> Tally:  # noqa: ARG002 - an error costs nothing
        """Nothing."""
        return Tally(usage=Usage(), source=UsageSource.NONE, model="")


def _tally(answer: ClientResponse | StreamTranslator, *, request_size: int, finished: bool) -> Tally:
    usage = answer.usage
    source = UsageSource.PROVIDER if usage is not None else UsageSource.ESTIMATED
    if usage is None:
        usage = Usage(input_tokens=estimate_tokens(request_size), output_tokens=estimate_tokens(answer.output_chars))
    return Tally(
        usage=usage,
        source=source if finished else UsageSource.PARTIAL,
        model=answer.model,
        malformed=answer.malformed,
    )
