"""A file of lines that other processes append to, read on from a checkpoint, through rotation and truncation."""

from __future__ import annotations

import contextlib
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from processor.ports import Position

log = logging.getLogger(__name__)

READ_BYTES = 1024 * 1024
"""Read at once, and the longest line: Envoy's header limit of 60 KiB bounds a path, and all else in a line is short."""
READ_LINES = 4096
"""Lines given at once."""
_HEAD_BYTES = 1024
"""Enough to hold the first line's request id or time, and so to tell two files apart."""
_INODE = 2**63 - 1
"""Some file systems use all 64 bits; a sink's integers are signed."""
_ASK_AGAIN = 5.0
"""Seconds between two requests to reopen a renamed file."""
_RENAME_AGAIN = 60.0


class Mark(NamedTuple):
    """A place in a spool: a number of the file, growing in the order they are read, and the offset there."""

    file: int
    offset: int


class Line(NamedTuple):
    """A complete line, without its end, and where it begins."""

    data: bytes
    mark: Mark


class Spool:
    """Gives each line from `position` on once: those of `path`, and of what it was renamed to.

    When all is read and the file has `rotate_bytes`, it is renamed to `path` + ".1" and `reopen` is called, again
    and again until its writer has made a new one. The old file is read on until it has not grown for `settle`
    seconds since the new one is there, and deleted when it is released. Whoever else renames or replaces the file
    is followed in the same way.
    """

    def __init__(
        self,
        path: Path,
        position: Position,
        *,
        rotate_bytes: int,
        settle: float,
        reopen: Callable[[], object] = lambda: None,
    ) -> None:
        self._path = path
        self._rotated = path.with_name(path.name + ".1")
        self._start = position
        self._rotate_bytes = rotate_bytes
        self._settle = settle
        self._reopen = reopen
        self._file: _File | None = None
        self._kept: dict[int, _File] = {}
        self._serial = 0
        self._size = 0
        self._quiet_since: float | None = None
        self._ask_at = self._rename_at = float("-inf")
        self.more = False
        """Whether the last `read` stopped at its bound."""
        self.caught_up = False
        """Whether the last `read` gave all there was."""

    @property
    def end(self) -> Mark:
        """Where the next line begins."""
        return Mark(self._file.serial, self._file.offset) if self._file else Mark(0, 0)

    def position(self, mark: Mark) -> Position:
        """A mark in a form that outlives this process."""
        file = self._kept.get(mark.file)
        return file.position(mark.offset) if file else self._start

    def read(self, now: float, limit: int = READ_LINES) -> list[Line]:
        """The next complete lines, at most `limit`, by a clock in seconds that does not go back.

        Raises:
            OSError: a file cannot be read. No line is lost: the next call tries again.
        """
        file = self._file or self._begin()
        if file is None:
            self.more, self.caught_up = False, True
            return []
        if not self.more and (rest := self._turn(file, now)) is not None:
            self.more, self.caught_up = True, False
            return rest
        if file.was_truncated():
            file = self._follow(file.again(self._next_serial()))
        lines, self.more = file.read(limit)
        self.caught_up = not self.more and _inode(self._path) in (None, file.inode)
        return lines

    def release(self, mark: Mark) -> None:
        """Nothing before `mark` is needed any more: close the files that end there, and delete the renamed one."""
        for serial in [serial for serial in self._kept if serial < mark.file]:
            file = self._kept.pop(serial)
            file.close()
            read_on = any(kept.inode == file.inode for kept in self._kept.values())
            if _inode(self._rotated) == file.inode and not read_on:
                # Where it cannot be deleted, the next rotation overwrites it.
                with contextlib.suppress(OSError):
                    self._rotated.unlink()

    def close(self) -> None:
        """Let go of the files."""
        for file in self._kept.values():
            file.close()
        self._kept.clear()
        self._file = None

    def _begin(self) -> _File | None:
        """Open the file the position is in; else, from its start, the oldest there is."""
        files = [f for path in (self._rotated, self._path) if (f := _File.open(path, self._next_serial()))]
        if not files:
            return None
        chosen = None
        try:
            chosen = next((file for file in files if file.resume(self._start)), files[0])
        finally:
            for file in files:
                if file is not chosen:
                    file.close()
        return self._follow(chosen)

    def _turn(self, file: _File, now: float) -> list[Line] | None:
        """At a file's end: rotate it, or leave it for the next when it has settled; then, what is left of it."""
        successor = _inode(self._path)
        if successor == file.inode:
            if file.offset >= self._rotate_bytes:
                self._rotate(now)
            return None
        if successor is None:
            self._ask_to_reopen(now)
            return None
        size = file.size()
        if self._quiet_since is None or size != self._size:
            self._size, self._quiet_since = size, now
        if now - self._quiet_since < self._settle:
            return None
        if (following := _File.open(self._path, self._next_serial())) is None:
            return None
        rest = file.rest()
        self._follow(following)
        return rest

    def _rotate(self, now: float) -> None:
        if len(self._kept) > 1 or now < self._rename_at:
            return
        try:
            self._path.rename(self._rotated)
        except OSError as error:
            self._rename_at = now + _RENAME_AGAIN
            log.warning("cannot rename %s, so it goes on growing: %s", self._path, error)
            return
        self._ask_at = float("-inf")
        self._ask_to_reopen(now)

    def _ask_to_reopen(self, now: float) -> None:
        if now >= self._ask_at:
            self._ask_at = now + _ASK_AGAIN
            self._reopen()

    def _follow(self, file: _File) -> _File:
        self._file = self._kept[file.serial] = file
        self._quiet_since = None
        return file

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial


class _File:
    """One open file, whatever its name is by now."""

    __slots__ = ("_fd", "_head", "inode", "offset", "serial")

    def __init__(self, fd: int, serial: int) -> None:
        self._fd = fd
        self._head = b""
        self.inode = os.fstat(fd).st_ino & _INODE
        self.serial = serial
        self.offset = 0
        """Where the first line that was not given begins."""

    @staticmethod
    def open(path: Path, serial: int) -> _File | None:
        """The file at a path, if there is one."""
        try:
            return _File(os.open(path, os.O_RDONLY | os.O_CLOEXEC), serial)
        except FileNotFoundError:
            return None

    def again(self, serial: int) -> _File:
        """The same file, from its start."""
        return _File(os.dup(self._fd), serial)

    def resume(self, position: Position) -> bool:
        """Go to a position, if it is one in this file."""
        head = os.pread(self._fd, min(position.offset, _HEAD_BYTES), 0)
        here = position.offset <= self.size() and zlib.crc32(head) == position.head
        if not here or (position.offset == 0 and position.inode != self.inode):
            return False
        self._head, self.offset = head, position.offset
        return True

    def position(self, offset: int) -> Position:
        """An offset that has been reached, to `resume` at."""
        return Position(self.inode, offset, zlib.crc32(self._head[:offset]))

    def size(self) -> int:
        """In bytes, now."""
        return os.fstat(self._fd).st_size

    def was_truncated(self) -> bool:
        """Whether what was read is no longer there, even if as much has been written since."""
        return self.size() < self.offset or os.pread(self._fd, len(self._head), 0) != self._head

    def read(self, limit: int) -> tuple[list[Line], bool]:
        """The next complete lines, and whether there may be more."""
        chunk = os.pread(self._fd, READ_BYTES, self.offset)
        complete = chunk.rfind(b"\n") + 1
        full = len(chunk) == READ_BYTES
        if not complete:
            # A line that long is not one of ours: it is given in pieces, which nobody can read.
            return [self._take(chunk)] if full else [], full
        parts = chunk[: complete - 1].split(b"\n", limit)
        lines = [self._take(part, end=1) for part in parts[:limit]]
        if len(self._head) < _HEAD_BYTES:
            self._head = os.pread(self._fd, min(self.offset, _HEAD_BYTES), 0)
        return lines, full or len(parts) > limit

    def rest(self) -> list[Line]:
        """What stands behind the last line's end, when nobody will write more of it."""
        chunk = os.pread(self._fd, READ_BYTES, self.offset)
        return [self._take(chunk)] if chunk else []

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _take(self, data: bytes, *, end: int = 0) -> Line:
        line = Line(data, Mark(self.serial, self.offset))
        self.offset += len(data) + end
        return line


def _inode(path: Path) -> int | None:
    """Of the file at a path; None when there is none to be seen."""
    try:
        return path.stat().st_ino & _INODE
    except OSError:
        return None
