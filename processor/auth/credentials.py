"""How a vendor's key is put on a request, and which headers may hold one."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """A key that stands in one header, behind a prefix."""

    header: str
    prefix: str = ""

    def headers(self, key: str) -> tuple[tuple[str, str], ...]:
        """The header for `key`; nothing when the target has none (a self-hosted model without a key)."""
        return ((self.header, self.prefix + key),) if key else ()


BEARER = HeaderKey("authorization", "Bearer ")
X_API_KEY = HeaderKey("x-api-key")
X_GOOG_API_KEY = HeaderKey("x-goog-api-key")
