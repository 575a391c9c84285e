"""Who is asking: the gateway key on a request, checked against the hashes in the configuration."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from processor.config import KeyConfig
from processor.errors import Unauthenticated
from processor.exchange.messages import Headers

_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
"""Where the SDKs of Anthropic, Azure and Gemini put a key."""


class Keyring:
    """The configured keys by the SHA-256 of the key."""

    def __init__(self, keys: Sequence[KeyConfig]) -> None:
        self._by_digest: Mapping[bytes, KeyConfig] = {bytes.fromhex(key.sha256): key for key in keys}

    def named(self, name: str) -> KeyConfig | None:
        """The key of that name."""
        return next((key for key in self._by_digest.values() if key.name == name), None)

    def authenticate(self, headers: Headers) -> KeyConfig:
        """The key a request carries.

        Raises:
            Unauthenticated: it carries none, or one that is not known.
        """
        presented = _presented(headers)
        if not presented:
            raise Unauthenticated("No gateway key. Send it as `Authorization: Bearer <key>`.", code="missing_api_key")
        digest = hashlib.sha256(presented.encode()).digest()
        key = self._by_digest.get(digest)
        # The table is searched by hash, so its timing tells nothing about a key; what decides takes constant time.
        if key is None or not hmac.compare_digest(bytes.fromhex(key.sha256), digest):
            raise Unauthenticated("The gateway key is not known here.")
        return key


def _presented(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return next((headers[name].strip() for name in _KEY_HEADERS if name in headers), "")
