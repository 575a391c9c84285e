"""Server-sent events out of bytes, and into them."""

from __future__ import annotations

from dataclasses import dataclass

from processor.errors import WireError

DONE = b"data: [DONE]\n\n"
"""How OpenAI's streams end."""

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one event: an image in base64, as image streams send it in one piece."""

_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class SSEEvent:
    """One event. A comment (`: keep-alive`) is an event without data."""

    data: bytes
    """The data lines, joined by line feeds."""
    event: str = ""
    raw: bytes = b""
    """The event as it came, its empty line included: what forwards an event untouched."""

    def comment(self) -> bytes:
        """It as it came if all its lines are comments; nothing otherwise, since clients parse an event's empty data."""
        lines = self.raw.splitlines()
        return self.raw if all(line.startswith(b":") for line in lines if line) else b""


def encode_data(data: bytes, event: str = "") -> bytes:
    """Write an event; `data` must hold no line feed."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    return head + b"data: " + data + b"\n\n"


class SSEDecoder:
    """Splits a body into events, wherever its chunks are cut. Lines may end in LF, CRLF or CR."""

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._rest: list[bytes] = []
        """The pieces of an event that is not whole yet: joined only when it may have ended, or a long one would be
        copied anew with every chunk.
        """
        self._size = 0
        self._begun = False

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Take the next bytes; return the events they complete.

        Raises:
            WireError: an event is larger than the limit.
        """
        if self._begun and not self._rest and _is_plain(chunk):
            return [SSEEvent(chunk[6:-2], "", chunk)]
        if self._begun and not self._may_end(chunk):
            self._keep(chunk)
            return []
        data = self._taken() + chunk
        if not self._begun:
            data = self._begin(data)
        if b"\r" in data:
            return self._feed_any_line_end(data)
        end = data.rfind(b"\n\n")
        if end < 0:
            self._keep(data)
            return []
        self._keep(data[end + 2 :])
        pieces = (piece.strip(b"\n") for piece in data[:end].split(b"\n\n"))
        return [_event(piece + b"\n\n") for piece in pieces if piece]

    def close(self) -> list[SSEEvent]:
        """The body has ended: an event without its empty line still counts, and gets one."""
        rest = self._taken().strip(b"\r\n")
        return [_event(rest + b"\n\n")] if rest else []

    def _begin(self, data: bytes) -> bytes:
        """Drop a byte order mark, which may be cut too."""
        if len(data) < len(_BOM) and _BOM.startswith(data):
            return data
        self._begun = True
        return data.removeprefix(_BOM)

    def _feed_any_line_end(self, data: bytes) -> list[SSEEvent]:
        """The slow way, for carriage returns. One at the end may be half of a CRLF, so it waits for what follows."""
        events = []
        start = position = 0
        blank = True
        while (end := _line_end(data, position)) is not None:
            line_stop, position_next = end
            if line_stop == position:
                if not blank:
                    events.append(_event(data[start:position_next]))
                start, blank = position_next, True
            else:
                blank = False
            position = position_next
        self._keep(data[start:])
        return events

    def _may_end(self, chunk: bytes) -> bool:
        """Whether an event may end with this chunk: at an empty line, of which earlier ones may hold the beginning."""
        if b"\n\n" in chunk or chunk.startswith(b"\n") or b"\r" in chunk:
            return True
        return bool(self._rest) and self._rest[-1].endswith(b"\r")

    def _keep(self, rest: bytes) -> None:
        self._size += len(rest)
        if self._size > self._limit:
            raise WireError(f"an event of more than {self._limit} bytes")
        if rest:
            self._rest.append(rest)

    def _taken(self) -> bytes:
        rest = b"".join(self._rest)
        self._rest.clear()
        self._size = 0
        return rest


def _line_end(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the line from `start` stops and the next one starts; None while that cannot be told."""
    feed, carriage = data.find(b"\n", start), data.find(b"\r", start)
    if carriage < 0 or 0 <= feed < carriage:
        return None if feed < 0 else (feed, feed + 1)
    if carriage + 1 == len(data):
        return None
    return carriage, carriage + (2 if data[carriage + 1] == 0x0A else 1)


def _event(raw: bytes) -> SSEEvent:
    return SSEEvent(raw[6:-2], "", raw) if _is_plain(raw) else _fields(raw)


def _is_plain(raw: bytes) -> bool:
    """Whether these bytes are one event of one data line: what nearly every chunk of a vendor's stream is."""
    return raw.startswith(b"data: ") and raw.endswith(b"\n\n") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw


def _fields(raw: bytes) -> SSEEvent:
    data: list[bytes] = []
    name = ""
    for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return SSEEvent(b"\n".join(data), name, raw)
