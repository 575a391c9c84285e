"""Usage records as lines of JSON, for whoever ships or greps them; the checkpoint is a file beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from processor.domain import UsageRecord
from processor.errors import ConfigError
from processor.ports import REPLAY_LIMIT, Checkpoint, SinkError
from processor.wire.json import decode, encode

FILE_NAME = "usage.jsonl"
"""In the state folder."""

_REMEMBERED = 2 * REPLAY_LIMIT
"""Ids known at a time: those of the file's last records. What may come again is among the `REPLAY_LIMIT` requests
behind the kept checkpoint. When the first of them was written, the checkpoint was at most as many requests further
back, and all that was written since lies between: twice the limit."""
_BLOCK = 1024 * 1024


class JsonlUsageSink:
    """A `UsageSink`. Records are on the disk before their checkpoint is.

    What a crash left between the two comes again, and is known by its ids in the file's end.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; cut off a line that was being written when the last process was killed.

        Raises:
            ConfigError: it, or the checkpoint beside it, cannot be used.
        """
        self._path = path
        self._checkpoint_path = path.with_name(path.name + ".checkpoint")
        self._written: dict[str, None] | None = None
        self._checkpoint = _load(self._checkpoint_path)
        try:
            self._written = self._remember()
        except OSError as error:
            raise ConfigError(f"cannot keep usage records in it: {error.strerror}", file=str(path)) from error

    def write(self, records: Sequence[UsageRecord], checkpoint: Checkpoint) -> None:
        """Append what is new, then keep the checkpoint."""
        try:
            written = self._written if self._written is not None else self._remember()
            new: dict[str, UsageRecord] = {}
            for record in records:
                if record.request_id not in written:
                    new.setdefault(record.request_id, record)
            if new:
                self._written = None  # until it is known what became of them
                self._append(b"".join(encode(record) + b"\n" for record in new.values()))
                written.update(dict.fromkeys(new))
            self._written = written
            self._save(checkpoint)
        except OSError as error:
            raise SinkError(f"{error.filename or self._path}: {error.strerror}") from error
        self._checkpoint = checkpoint
        while len(written) > _REMEMBERED:
            del written[next(iter(written))]

    def checkpoint(self) -> Checkpoint:
        """The last one kept."""
        return self._checkpoint

    def close(self) -> None:
        """Nothing is open between two writes: the file may be moved away at any time."""

    def _append(self, lines: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            view = memoryview(lines)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())

    def _save(self, checkpoint: Checkpoint) -> None:
        beside = self._checkpoint_path.with_name(self._checkpoint_path.name + ".new")
        with beside.open("wb", buffering=0) as file:
            file.write(encode(checkpoint) + b"\n")
            os.fsync(file.fileno())
        beside.replace(self._checkpoint_path)

    def _remember(self) -> dict[str, None]:
        """Mend the file's end, and read back the ids that may come again."""
        with self._path.open("a+b") as file:
            tail = _tail(file.fileno(), _REMEMBERED)
            complete = tail.rfind(b"\n") + 1
            if complete < len(tail):
                os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - len(tail) + complete)
        return {request_id: None for line in tail[:complete].splitlines() if (request_id := _request_id(line))}


def read_usage(path: Path, *, since: float = 0.0) -> Iterator[UsageRecord]:
    """The records from a time (epoch seconds) on, as they stand in the file; a gateway may be writing meanwhile.

    Raises:
        ConfigError: a line is not a usage record.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                record = _record(line, path, number)
                if record.time >= since:
                    yield record
    except OSError as error:
        raise ConfigError(f"cannot read usage records from it: {error.strerror}", file=str(path)) from error


def _record(line: bytes, path: Path, number: int) -> UsageRecord:
    try:
        return msgspec.convert(decode(line), UsageRecord)
    except ValueError as error:
        raise ConfigError(f"not a usage record: {error}", file=str(path), line=number) from None


def _load(path: Path) -> Checkpoint:
    try:
        return msgspec.convert(decode(path.read_bytes()), Checkpoint)
    except FileNotFoundError:
        return Checkpoint()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"not a checkpoint; without it, all that is in the logs is recorded again: {error}", file=str(path)
        ) from None


def _tail(fd: int, lines: int) -> bytes:
    """The end of a file that holds its last `lines` lines, and what stands behind the last line's end."""
    start = os.fstat(fd).st_size
    blocks: list[bytes] = []
    ends = 0
    while start > 0 and ends <= lines:
        size = min(_BLOCK, start)
        start -= size
        blocks.append(os.pread(fd, size, start))
        ends += blocks[-1].count(b"\n")
    return b"".join(reversed(blocks))


def _request_id(line: bytes) -> str:
    """Of a record; empty for a line somebody else put there, or one whose beginning was not read."""
    try:
        return str(decode(line)["request_id"])
    except (ValueError, TypeError, KeyError):
        return ""
