"""JSON values one after another: a line each, or the elements of an array that grows."""

from __future__ import annotations

import re

from processor.errors import WireError

VALUE_LIMIT = 16 * 1024 * 1024
"""Bytes of one value: an image in base64."""

_MARKS = re.compile(rb'["{}]')
_MARKS_IN_STRING = re.compile(rb'"|\\.?', re.DOTALL)
"""A backslash takes the byte behind it along, unless that is in the next chunk."""


class LineDecoder:
    """Newline-delimited JSON, as Ollama streams it."""

    def __init__(self, *, limit: int = VALUE_LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines the bytes complete. Raises WireError for one over the limit."""
        first, *others = chunk.split(b"\n")
        self._rest += first
        lines: list[bytes] = []
        if others:
            lines = [bytes(self._rest), *others[:-1]]
            self._rest = bytearray(others[-1])
        if len(self._rest) > self._limit:
            raise WireError(f"a line of more than {self._limit} bytes")
        return [line for line in lines if line.strip()]

    def close(self) -> list[bytes]:
        """A last line without its end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [rest] if rest.strip() else []


class JSONArrayDecoder:
    """The elements of one top-level array, each as soon as it is whole: Gemini's stream without `alt=sse`."""

    def __init__(self, *, limit: int = VALUE_LIMIT) -> None:
        self._limit = limit
        self._value = bytearray()
        """What earlier chunks held of the object that is not whole yet."""
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects the bytes complete. Raises WireError for one over the limit."""
        if not chunk:
            return []
        found = []
        start, position = 0, int(self._escaped)
        self._escaped = False
        while mark := (_MARKS_IN_STRING if self._in_string else _MARKS).search(chunk, position):
            position, before = mark.end(), self._depth
            self._note(mark[0])
            if self._depth > before == 0:
                start = mark.start()
            elif before > self._depth == 0:
                found.append(bytes(self._value) + chunk[start:position])
                self._value.clear()
        if self._depth:
            self._value += chunk[start:]
        if len(self._value) > self._limit:
            raise WireError(f"a value of more than {self._limit} bytes")
        return found

    def close(self) -> list[bytes]:
        """A value that is cut is no value."""
        return []

    def _note(self, mark: bytes) -> None:
        match mark:
            case b'"':
                self._in_string = not self._in_string
            case b"{":
                self._depth += 1
            case b"}":
                self._depth = max(self._depth - 1, 0)
            case b"\\":
                self._escaped = True
