"""Error objects in the terms of whoever asked: OpenAI's, and Anthropic's on `/messages`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processor.errors import GatewayError
from processor.wire.json import encode
from processor.wire.sse import encode_data

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_body(error: GatewayError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`."""
    return encode({"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}})


def anthropic_error_body(error: GatewayError) -> bytes:
    """`{"type": "error", "error": {"type", "message"}}`."""
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(error.status, fallback)
    return encode({"type": "error", "error": {"type": kind, "message": error.message}})


def responses_error_body(error: GatewayError) -> bytes:
    """The `error` event of a Responses stream. Its number is unknown here, and SDKs do not look at it."""
    event = {"type": "error", "code": error.code, "message": error.message, "param": error.param, "sequence_number": 0}
    return encode(event)


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How an endpoint tells errors."""

    body: Callable[[GatewayError], bytes]
    """Of an answer with the error's status."""
    event: Callable[[GatewayError], bytes]
    """Of a stream that has begun with a 200."""


OPENAI_ERRORS = ErrorForm(error_body, lambda error: encode_data(error_body(error)))
ANTHROPIC_ERRORS = ErrorForm(anthropic_error_body, lambda error: encode_data(anthropic_error_body(error), "error"))
RESPONSES_ERRORS = ErrorForm(error_body, lambda error: encode_data(responses_error_body(error), "error"))
BINARY_ERRORS = ErrorForm(error_body, lambda _: b"")
"""Sound holds no place for an error: it ends early."""
