"""AWS event stream messages as a vendor sends them: bytes out of lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from struct import pack
from typing import Any
from zlib import crc32

_NUMBERS = {"byte": (2, ">b"), "short": (3, ">h"), "integer": (4, ">i"), "long": (5, ">q"), "timestamp": (8, ">q")}


def encoded(events: Iterable[Mapping[str, Any]]) -> bytes:
    """The body of `{type: contentBlockDelta, payload: {…}}` and `{exception: throttlingException, payload: {…}}`.

    A payload that is a text is sent as it stands, and not as JSON.
    """
    return b"".join(_event(event) for event in events)


def message(headers: Mapping[str, Any], payload: bytes) -> bytes:
    """One message. A header is a string, bytes or a truth value, or a pair of a type's name and its value."""
    head = b"".join(header(name, value) for name, value in headers.items())
    prelude = pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + pack(">I", crc32(prelude)) + head + payload
    return body + pack(">I", crc32(body))


def header(name: str, value: Any) -> bytes:
    """One header."""
    return bytes([len(name.encode())]) + name.encode() + _value(value)


def _event(event: Mapping[str, Any]) -> bytes:
    unknown = event.keys() - {"type", "exception", "payload"}
    assert not unknown, f"{unknown} is not part of an event"
    assert ("type" in event) != ("exception" in event), f"{event} is neither an event nor an exception"
    kind = "event" if "type" in event else "exception"
    headers = {
        f":{kind}-type": event["type"] if kind == "event" else event["exception"],
        ":content-type": "application/json",
        ":message-type": kind,
    }
    payload = event.get("payload", {})
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return message(headers, text.encode())


def _value(value: Any) -> bytes:
    match value:
        case bool():
            return b"\0" if value else b"\1"
        case str():
            return b"\7" + pack(">H", len(value.encode())) + value.encode()
        case bytes():
            return b"\6" + pack(">H", len(value)) + value
        case ("uuid", bytes(uuid)):
            return b"\x09" + uuid
        case (str(name), int(number)):
            kind, form = _NUMBERS[name]
            return bytes([kind]) + pack(form, number)
    raise AssertionError(f"no header can hold {value!r}")
