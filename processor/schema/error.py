"""OpenAI's error object."""

from __future__ import annotations

from processor.errors import GatewayError
from processor.wire.json import encode


def error_body(error: GatewayError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`."""
    return encode({"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}})
