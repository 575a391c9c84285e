"""What lies outside, as the code inside sees it: where usage records go, and how a vendor is called once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from processor.domain import UsageRecord
from processor.policy.limits import Admission, Charge, Limit, Standing, Taken

REPLAY_LIMIT = 20_480
"""Records a recorder may write ahead of its checkpoint, and so write again after it was killed: at 5,000 requests a
second, four seconds of those whose tokens are awaited. A sink without an index remembers ids to match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One more request of an exchange, sent through Envoy's pools."""

    cluster: str
    method: str
    host: str
    path: str
    """With its query."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    limit: int
    """Bytes of the answer that are taken."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Its answer, whole."""

    status: int
    body: bytes


class CallError(Exception):
    """A call had no answer, or one that is too large; the text is for the client."""


class Caller(Protocol):
    """Sends calls."""

    async def send(self, call: Call) -> Reply:
        """Send it and read the answer.

        Raises:
            CallError: there was none.
        """
        ...


class StoreError(Exception):
    """A store could not be asked; the text is for a log, and holds no address or password."""


class LimitStore(Protocol):
    """Counts what requests take of limits."""

    async def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float) -> Admission:
        """Take all of it, or nothing. No limit comes twice. `lease` names the request; after `lease_for` seconds it no
        longer counts as under way.

        Raises:
            StoreError: the counts could not be reached.
        """
        ...

    async def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str) -> None:
        """Put what was really used, by the limit's name, in the place of what was reserved: once for an admission.

        What `actual` does not name is given back; a request under way is one no longer.

        Raises:
            StoreError: the counts could not be reached.
        """
        ...

    async def peek(self, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How limits stand; nothing is taken.

        Raises:
            StoreError: the counts could not be reached.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """A whole answer, as a client had it."""

    body: bytes = field(repr=False)
    content_type: str
    target: str
    """The one that gave it."""
    model: str
    """As the vendor named it."""
    at: float
    """When, in seconds since the epoch."""


class AnswerStore(Protocol):
    """Keeps answers for a while. It may forget any of them at any time."""

    async def get(self, key: str) -> KeptAnswer | None:
        """The answer, if there is one; None as well while the store cannot be asked."""
        ...

    async def put(self, key: str, answer: KeptAnswer, *, keep_for: float) -> None:
        """Keep it for so many seconds, in the place of another; an answer that is too large is not kept."""
        ...


class SinkError(Exception):
    """A sink could not take a batch now; the same batch may be written again later."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a growing file, to be found again after the file was renamed or replaced."""

    inode: int = 0
    offset: int = 0
    """Bytes that are done with."""
    head: int = 0
    """CRC-32 of the file's first bytes, up to `offset` and 1,024: inode numbers are used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far the two logs are recorded: every request that ended before is in the sink."""

    access: Position = Position()
    observed: Position = Position()


class UsageSink(Protocol):
    """Keeps usage records, each request's once, and the checkpoint they came with."""

    def write(self, records: Sequence[UsageRecord], checkpoint: Checkpoint) -> None:
        """Keep the records, then the checkpoint; a record whose request is already kept is left out.

        Killed at any point, the sink holds either nothing of a record or all of it, and never the checkpoint
        without the records. `records` may be empty. At most the `REPLAY_LIMIT` records behind the kept
        checkpoint may come again.

        Raises:
            SinkError: not everything could be kept.
        """
        ...

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the last `write`; zeros when there was none."""
        ...

    def close(self) -> None:
        """Let go of files. Nothing is lost without it."""
        ...
