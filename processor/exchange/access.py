"""Who is asking: the gateway key on a request, checked against hashes from the configuration and from Redis."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Protocol
from urllib.parse import parse_qs

from processor.config import KeyConfig
from processor.errors import Unauthenticated
from processor.exchange.messages import Headers

_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
"""Where the SDKs of Anthropic, Azure and Gemini put a key."""
_SUBPROTOCOL = "openai-insecure-api-key."
"""Before a key in `sec-websocket-protocol`: browsers cannot set other headers on a WebSocket."""


class KeySource(Protocol):
    """Knows of keys that were made a moment ago."""

    async def find(self, sha256: str) -> KeyConfig | None:
        """The key with this hash, if there is one and it can be asked for now."""
        ...


class Keyring:
    """Keys by the SHA-256 of the key: those of the configuration, and those made while the gateway runs."""

    def __init__(self, keys: Sequence[KeyConfig], epoch: Callable[[], float]) -> None:
        self._configured = _by_digest(keys)
        self._made: Mapping[bytes, KeyConfig] = {}
        self._epoch = epoch
        self.source: KeySource | None = None
        """Asked about a key that is not known."""

    def __iter__(self) -> Iterator[KeyConfig]:
        yield from self._configured.values()
        yield from self._made.values()

    def replace(self, keys: Iterable[KeyConfig]) -> None:
        """Know these keys beside the configured ones, and no others."""
        self._made = _by_digest(keys)

    def named(self, name: str) -> KeyConfig | None:
        """The key of that name; of one that is being rotated, the new one."""
        found = [key for key in self if key.name == name]
        return newest(found) if found else None

    async def authenticate(self, headers: Headers) -> KeyConfig:
        """The key a request carries.

        Raises:
            Unauthenticated: it carries none, or one that is not known, or no longer.
        """
        presented = presented_key(headers)
        if not presented:
            raise Unauthenticated("No gateway key. Send it as `Authorization: Bearer <key>`.", code="missing_api_key")
        digest = hashlib.sha256(presented.encode()).digest()
        key = self._configured.get(digest) or self._made.get(digest)
        if key is None and self.source:
            key = await self.source.find(digest.hex())
        # The table is searched by hash, so its timing tells nothing about a key; what decides takes constant time.
        if key is None or not hmac.compare_digest(bytes.fromhex(key.sha256), digest):
            raise Unauthenticated("The gateway key is not known here.")
        if ends(key) <= self._epoch():
            raise Unauthenticated("The gateway key has expired.")
        return key


def ends(key: KeyConfig) -> float:
    """From when on it opens nothing, in seconds since the epoch; infinity: never."""
    return inf if key.expires is None else key.expires


def newest(keys: Sequence[KeyConfig]) -> KeyConfig:
    """Of one name's, the one that lasts longest: those that were rotated end with their grace."""
    return max(keys, key=ends)


def presented_key(headers: Headers) -> str:
    """What a client sent as its key, wherever its SDK puts it; empty for none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    for name in _KEY_HEADERS:
        if name in headers:
            return headers[name].strip()
    return _in_query(headers.get(":path", "")) or _in_subprotocol(headers.get("sec-websocket-protocol", ""))


def _in_query(path: str) -> str:
    """Gemini's `?key=`."""
    _, _, query = path.partition("?")
    return parse_qs(query).get("key", [""])[0] if "key=" in query else ""


def _in_subprotocol(offered: str) -> str:
    names = (name.strip() for name in offered.split(","))
    return next((name.removeprefix(_SUBPROTOCOL) for name in names if name.startswith(_SUBPROTOCOL)), "")


def _by_digest(keys: Iterable[KeyConfig]) -> Mapping[bytes, KeyConfig]:
    return {bytes.fromhex(key.sha256): key for key in keys}
