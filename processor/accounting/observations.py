"""The workers' side of the observation log: one line, one write, whatever happens."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from processor.wire.json import encode

log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
"""Seconds between two looks whether the file was renamed; a recorder waits five before it leaves a renamed one."""
_COMPLAIN_EVERY = 60.0
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class ObservationLog:
    """Appends what a worker learns of a request; many processes may append to one file.

    A line is one `write` to a file opened for appending, so lines of several workers do not mix, and a worker that dies
    behind the call has lost nothing. `clock` gives seconds and does not go back.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the file, or make it.

        Raises:
            OSError: it cannot be.
        """
        self._path = path
        self._clock = clock
        self._fd = os.open(path, _FLAGS, 0o600)
        self._inode = os.fstat(self._fd).st_ino
        self._look_at = clock() + _LOOK_EVERY
        self._complain_at = float("-inf")
        self.lost = 0
        """Lines that could not be written."""

    def write(self, request_id: str, **fields: str | float) -> None:
        """Add facts, named as in `accounting.lines`, to a request's record. Never raises: the exchange goes on."""
        now = self._clock()
        try:
            line = encode({"request_id": request_id, **fields}) + b"\n"
            if now >= self._look_at:
                self._follow(now)
            if (written := os.write(self._fd, line)) != len(line):
                self._lose(now, f"only {written} of {len(line)} bytes were written")
        except (OSError, ValueError) as error:
            self._lose(now, str(error))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _follow(self, now: float) -> None:
        """Open the file anew if another, or none, has its name."""
        self._look_at = now + _LOOK_EVERY
        try:
            if self._path.stat().st_ino == self._inode:
                return
        except FileNotFoundError:
            pass
        fd = os.open(self._path, _FLAGS, 0o600)
        os.close(self._fd)
        self._fd, self._inode = fd, os.fstat(fd).st_ino

    def _lose(self, now: float, reason: str) -> None:
        self.lost += 1
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_EVERY
            log.error("cannot write to %s, usage is being lost: %s", self._path, reason)
