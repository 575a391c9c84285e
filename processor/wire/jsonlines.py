"""JSON values one after another: a line each, or the elements of an array that grows."""

from __future__ import annotations

from processor.errors import WireError

VALUE_LIMIT = 16 * 1024 * 1024
"""Bytes of one value: an image in base64."""


class LineDecoder:
    """Newline-delimited JSON, as Ollama streams it."""

    def __init__(self, *, limit: int = VALUE_LIMIT) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines the bytes complete. Raises WireError for one over the limit."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > self._limit:
            raise WireError(f"a line of more than {self._limit} bytes")
        return [line for line in lines if line.strip()]

    def close(self) -> list[bytes]:
        """A last line without its end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest.strip() else []


class JSONArrayDecoder:
    """The elements of one top-level array, each as soon as it is whole: Gemini's stream without `alt=sse`."""

    def __init__(self, *, limit: int = VALUE_LIMIT) -> None:
        self._limit = limit
        self._value = bytearray()
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects the bytes complete. Raises WireError for one over the limit."""
        found = []
        for byte in chunk:
            if self._take(byte):
                found.append(bytes(self._value))
                self._value.clear()
        if len(self._value) > self._limit:
            raise WireError(f"a value of more than {self._limit} bytes")
        return found

    def close(self) -> list[bytes]:
        """A value that is cut is no value."""
        return []

    def _take(self, byte: int) -> bool:
        """Add a byte to the value; whether the value is whole now."""
        if self._in_string:
            self._value.append(byte)
            if self._escaped:
                self._escaped = False
            elif byte == 0x5C:  # backslash
                self._escaped = True
            elif byte == 0x22:  # quote
                self._in_string = False
            return False
        if byte == 0x7B:  # {
            self._depth += 1
        if not self._depth:
            return False
        self._value.append(byte)
        if byte == 0x22:
            self._in_string = True
        elif byte == 0x7D:  # }
            self._depth -= 1
            return self._depth == 0
        return False
