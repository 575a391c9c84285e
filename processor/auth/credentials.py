"""How a vendor's key is put on a request, and which headers may hold one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

HeaderPairs = tuple[tuple[str, str], ...]

CREDENTIAL_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "x-amz-security-token",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-api-app-id",
        "x-api-app-key",
        "x-api-access-key",
        "openai-organization",
        "openai-project",
        "cookie",
    }
)
"""Removed from every upstream request in OpenAI mode before the target's own credential is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request as it will leave: what a signature covers."""

    method: str
    host: str
    """With its port if it is not the scheme's own."""
    path: str
    """With its query."""
    headers: HeaderPairs
    body: bytes = field(repr=False)
    now: int
    """Seconds since the epoch."""


class Auth(Protocol):
    """How a vendor is shown who pays."""

    def headers(self, key: str, outgoing: Outgoing) -> HeaderPairs:
        """The headers to add for `key`; none where it is empty (a self-hosted model without a key)."""
        ...


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """A key that stands in one header, behind a prefix."""

    header: str
    prefix: str = ""

    def headers(self, key: str, outgoing: Outgoing) -> HeaderPairs:  # noqa: ARG002 - the key alone is shown
        """The header."""
        return ((self.header, self.prefix + key),) if key else ()


BEARER = HeaderKey("authorization", "Bearer ")
X_API_KEY = HeaderKey("x-api-key")
X_GOOG_API_KEY = HeaderKey("x-goog-api-key")
