"""An incremental reader of HTTP/1.1 messages, used by the load generator and by the fake vendor.

It knows what those two need: bodies with a length or in chunks, no trailers, no upgrade, no body that ends
with the connection. Anything else raises, and the row of the benchmark says so.
"""

from __future__ import annotations

HEAD_LIMIT = 64 * 1024
"""Bytes of start line and headers; no server here sends a tenth of it."""

CHUNK_LIMIT = 1024 * 1024
"""Bytes of one chunk kept until it is whole; the benchmark's bodies are about a kilobyte."""


class BrokenMessage(ValueError):
    """Bytes that are no HTTP/1.1 message this reader takes."""


class Reader:
    """Reads one message; `reset` makes it ready for the next on the same connection."""

    __slots__ = ("_chunked", "_left", "_length_if_absent", "_pending", "done", "frames", "head")

    def __init__(self, *, length_if_absent: int | None = None) -> None:
        """`length_if_absent` is 0 for requests (a GET has no length) and None for responses."""
        self._length_if_absent = length_if_absent
        self._pending = b""
        self.reset()

    def reset(self) -> bytes:
        """Forget the message; return the bytes that came behind it, to be fed again."""
        rest, self._pending = self._pending, b""
        self.head = b""
        """Start line and headers, as sent, once they are whole."""
        self.frames = 0
        """HTTP chunks seen; 0 for a body with a length."""
        self.done = False
        self._chunked = False
        self._left = 0
        return rest

    def feed(self, data: bytes) -> bytes:
        """Take bytes off the wire, return the bytes of the body among them. Not to be called once done."""
        if not self.head:
            data = self._head(data)
            if not self.head:
                return b""
        return self._chunks(data) if self._chunked else self._counted(data)

    def _head(self, data: bytes) -> bytes:
        data = self._pending + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEAD_LIMIT:
                raise BrokenMessage(f"read {len(data)} bytes of headers, limit {HEAD_LIMIT}")
            self._pending = data
            return b""
        self._pending = b""
        self.head = data[:end]
        self._framing(self.head.lower())
        return data[end + 4 :]

    def _framing(self, head: bytes) -> None:
        if (length := header(head, b"content-length")) is not None:
            self._left = int(length)
        elif header(head, b"transfer-encoding") == b"chunked":
            self._chunked = True
        elif self._length_if_absent is not None:
            self._left = self._length_if_absent
        else:
            raise BrokenMessage("a response with neither a length nor chunks")

    def _counted(self, data: bytes) -> bytes:
        body = data[: self._left]
        self._left -= len(body)
        if not self._left:
            self.done = True
            self._pending = data[len(body) :]
        return body

    def _chunks(self, data: bytes) -> bytes:
        data = self._pending + data
        parts = []
        start = 0
        while (line := data.find(b"\r\n", start)) >= 0:
            size = int(data[start:line].partition(b";")[0], 16)
            end = line + 2 + size
            if size > CHUNK_LIMIT:
                raise BrokenMessage(f"a chunk of {size} bytes, limit {CHUNK_LIMIT}")
            if end + 2 > len(data):
                break
            if data[end : end + 2] != b"\r\n":
                raise BrokenMessage("a chunk without its end, or a trailer")
            start = end + 2
            if not size:
                self.done = True
                break
            parts.append(data[line + 2 : end])
            self.frames += 1
        self._pending = data[start:]
        return b"".join(parts)


def header(head: bytes, name: bytes) -> bytes | None:
    """The value of a header in a head that was lowered; None if it is not there."""
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()
