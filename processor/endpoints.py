"""The OpenAI-compatible endpoints: path and method to operation. One table."""

from __future__ import annotations

from dataclasses import dataclass

from processor.domain import Operation


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the OpenAI surface; it also answers under `/v1`."""

    path: str
    method: str
    operation: Operation
    subpaths: bool = False
    """Whether what follows the path (`/models/gpt-5`) belongs to it."""


ENDPOINTS = (
    Endpoint("/chat/completions", "POST", Operation.CHAT),
    Endpoint("/models", "GET", Operation.MODELS, subpaths=True),
)

HEALTH_PATH = "/healthz"

_BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}


def find(path: str) -> Endpoint | None:
    """The endpoint a request path (with or without `/v1`, query cut off) names."""
    path = path.removeprefix("/v1")
    if endpoint := _BY_PATH.get(path):
        return endpoint
    return next((e for e in ENDPOINTS if e.subpaths and path.startswith(e.path + "/")), None)
