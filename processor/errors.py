"""What can go wrong, by who broke it.

    GatewayError                  what a client is told: status, and OpenAI's type, code and param
    ├─ ClientError                4xx, the caller's doing
    │  ├─ MalformedRequest        400
    │  ├─ Unauthenticated         401
    │  ├─ Forbidden               403
    │  ├─ UnknownModel            404
    │  ├─ UnsupportedOperation    400, 404 or 405
    │  ├─ RateLimited             429
    │  └─ BudgetSpent             402
    └─ UpstreamError              a vendor's doing
       ├─ UpstreamRefused         the vendor said no: its own status
       ├─ UpstreamUnavailable     503 or 504
       └─ UpstreamProtocolError   502, an answer that is not what its protocol promises
    ConfigError                   what an operator is told, in one line
    WireError                     bytes that break a framing; mapped to one of the above by whoever fed them

Only the text of a `GatewayError` ever reaches a client; anything else is a bug and answers 500 with a fixed text.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """An error a client may read, in OpenAI's terms."""

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"
    headers: tuple[tuple[str, str], ...] = ()
    """Of the answer, beside its content's."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        type: str | None = None,  # noqa: A002 - OpenAI's word
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        if headers:
            self.headers = headers
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        if type is not None:
            self.type = type


class ClientError(GatewayError):
    """The caller asked for something that cannot be."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class MalformedRequest(ClientError):
    """The body or a parameter is not what the endpoint takes."""


class Unauthenticated(ClientError):
    """No gateway key, or one that is not known."""

    status = 401
    code = "invalid_api_key"
    headers = (("www-authenticate", "Bearer"),)


class Forbidden(ClientError):
    """A known key that may not do this."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"


class UnknownModel(ClientError):
    """A model name nothing here answers to."""

    status = 404
    code = "model_not_found"


class UnsupportedOperation(ClientError):
    """An endpoint, or an endpoint of this model's vendor, that does not exist."""

    status = 404
    code = "unsupported_operation"


class RateLimited(ClientError):
    """A limit stands in the way; its type is what the limit counts, as OpenAI has it."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"


class BudgetSpent(ClientError):
    """There is no money left, in OpenAI's words for it; a 402, since trying again soon is of no use."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exceeded"


class LimitsUnavailable(GatewayError):
    """Nobody can say whether a limit is kept, and the model wants that known."""

    status = 503
    code = "limits_unavailable"


class UpstreamError(GatewayError):
    """The vendor failed."""

    status = 502
    code = "upstream_error"


class UpstreamRefused(UpstreamError):
    """The vendor answered with an error of its own; status and message are the vendor's."""


class UpstreamUnavailable(UpstreamError):
    """No vendor could be reached, or none answered in time."""

    status = 503
    code = "upstream_unavailable"


class UpstreamProtocolError(UpstreamError):
    """The vendor's answer breaks its own protocol."""

    code = "upstream_protocol_error"


class ConfigError(Exception):
    """A configuration that cannot be used: `file:line: path: what is wrong`."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, file: str = "", line: int = 0, path: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + (f"{path}: " if path else "") + message)
        self.message = message
        self.file = file
        self.line = line
        self.path = path


class WireError(ValueError):
    """Bytes that break a framing, or a frame over its limit."""
