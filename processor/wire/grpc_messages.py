"""gRPC's length-prefixed messages, inside an HTTP/2 stream's data."""

from __future__ import annotations

from processor.errors import WireError

_PREFIX = 5


class MessageDecoder:
    """Messages out of data, wherever it is cut."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = 0
        """Bytes the message under way comes to with its prefix; 0 while that is not known."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages the data completes.

        Raises:
            WireError: a compressed message, or one over the limit.
        """
        if self._size:
            self._pieces.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        messages = []
        position = 0
        size = len(data)
        while size - position >= _PREFIX:
            end = position + self._length(data, position)
            if end > size:
                break
            messages.append(data[position + _PREFIX : end])
            position = end
        if position < size:
            rest = data[position:] if position else data
            self._wanted = self._length(rest, 0) if len(rest) >= _PREFIX else 0
            self._pieces.append(rest)
            self._size = len(rest)
        return messages

    def _length(self, data: bytes, position: int) -> int:
        if data[position]:
            raise WireError("a compressed gRPC message, which was not asked for")
        length = int.from_bytes(data[position + 1 : position + _PREFIX], "big")
        if length > self._limit:
            raise WireError(f"a gRPC message of {length} bytes, limit {self._limit}")
        return _PREFIX + length


def prefixed(message: bytes) -> bytes:
    """A message with its prefix."""
    return b"\x00" + len(message).to_bytes(4, "big") + message
