"""Vendors' error envelopes to one `UpstreamRefused` in OpenAI's terms. The vendor's own message is kept."""

from __future__ import annotations

from typing import Any

from processor.errors import UpstreamRefused
from processor.wire.json import JSON, JSONError, decode

_TEXT_LIMIT = 512
"""Characters kept of an error that is not JSON: an HTML page says what it has to say in its first lines."""

_ODD_STATUSES = {
    434: 403,  # Zhipu: no permission for the model
    435: 413,  # Zhipu: the file is too large
    529: 503,  # Anthropic: overloaded
}
_TYPES = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "upstream_authentication_failed"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "upstream_permission_denied"),
    404: ("not_found_error", "model_not_found"),
    408: ("server_error", "upstream_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    504: ("server_error", "upstream_timeout"),
}
_OUT_OF_FUNDS = frozenset(
    {"insufficient_quota", "exceeded_current_quota_error", "1113", "Arrearage", "AccountOverdueError"}
)
"""Codes and types that mean a bill, not a rate: OpenAI, Moonshot, Zhipu, DashScope, Ark."""


def refusal(status: int, body: bytes, *, vendor: str) -> UpstreamRefused:
    """The error a vendor's answer with a status of 300 or more stands for; any body will do."""
    message, code, param, kind = _read(body)
    status = _ODD_STATUSES.get(status, status if 400 <= status < 600 else 502)
    return refused(
        status, message or f"{vendor} answered {status} without a reason.", code=code, param=param, kind=kind
    )


def refused(
    status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str | None = None
) -> UpstreamRefused:
    """An error with OpenAI's type for its status, and a code: the vendor's if it has one."""
    default_type, default_code = _TYPES.get(
        status, ("server_error" if status >= 500 else "invalid_request_error", "upstream_error")
    )
    if _OUT_OF_FUNDS & {code, kind}:
        default_type, code = "insufficient_quota", "insufficient_quota"
    return UpstreamRefused(message, status=status, type=default_type, code=code or default_code, param=param)


def error_inside(answer: JSON) -> UpstreamRefused | None:
    """The error a 200, or an event of its stream, holds in OpenAI's own place: `{"error": …}`."""
    error = answer.get("error")
    if not error or (isinstance(error, dict) and not any(error.values())):
        return None
    message, code, param, kind = _from_value({"error": error})
    return refused(status_of(code, kind), message or "The vendor reported an error.", code=code, param=param, kind=kind)


_BY_WORD = (
    (("rate_limit", "ratelimit", "throttl", "toomanyrequests", "too_many_requests", "overloaded", "1302", "1303"), 429),
    (("1305", "quota", "1113", "arrearage"), 429),
    (("authentication", "invalid_api_key", "unauthorized"), 401),
    (("permission", "accessdenied", "forbidden"), 403),
    (("content_filter", "sensitive", "inspection", "1301", "context_length", "invalid_request", "badrequest"), 400),
    (("invalidparameter", "invalid_parameter"), 400),
    (("timeout",), 504),
)
"""What a code or type says about the status it would have had."""


def status_of(code: str | None, kind: str | None) -> int:
    """The HTTP status an error inside a 200 means: a numeric code that is one, else what its words say, else 502."""
    if code and code.isdigit() and 400 <= int(code) < 600:
        return _ODD_STATUSES.get(int(code), int(code))
    text = f"{code or ''} {kind or ''}".lower()
    return next((status for words, status in _BY_WORD if any(word in text for word in words)), 502)


_Parts = tuple[str, str | None, str | None, str | None]
"""Message, code, param, type."""


def _read(body: bytes) -> _Parts:
    try:
        return _from_value(decode(body))
    except JSONError:
        return _plain(body.decode("utf-8", "replace").strip()[:_TEXT_LIMIT])


def _from_value(value: Any) -> _Parts:
    if isinstance(value, list) and value:
        return _from_value(value[0])
    if isinstance(value, str):  # SiliconFlow's 401 and 404 are bare strings
        return _plain(value[:_TEXT_LIMIT])
    if not isinstance(value, dict):
        return _plain("")
    for place, reader in _ENVELOPES:
        found = value.get(place)
        if found:
            return reader(value, found)
    return _flat(value)


def _plain(message: str) -> _Parts:
    return message, None, None, None


def _object(_: JSON, error: Any) -> _Parts:
    if isinstance(error, str):  # Ollama
        return _plain(error)
    return _flat(error) if isinstance(error, dict) else _plain("")


def _base_resp(_: JSON, found: Any) -> _Parts:  # MiniMax
    return (
        (_text(found, "status_msg") or "", _text(found, "status_code"), None, None)
        if isinstance(found, dict)
        else _plain("")
    )


def _tencent(_: JSON, found: Any) -> _Parts:
    error = found.get("Error") if isinstance(found, dict) else None
    return (_text(error, "Message") or "", _text(error, "Code"), None, None) if isinstance(error, dict) else _plain("")


def _baidu_v1(value: JSON, _: Any) -> _Parts:
    return _text(value, "error_msg") or "", _text(value, "error_code"), None, None


_ENVELOPES = (
    ("error", _object),
    ("base_resp", _base_resp),
    ("Response", _tencent),
    ("ResponseMetadata", _tencent),  # Ark's management plane
    ("error_code", _baidu_v1),
)


def _flat(value: JSON) -> _Parts:
    """`message` (or `msg`) and `code` side by side: DashScope, SiliconFlow, Xunfei, and the inside of OpenAI's own."""
    message = _text(value, "message") or _text(value, "msg") or _text(value, "detail") or ""
    return message, _text(value, "code"), _text(value, "param"), _text(value, "type")


def _text(value: JSON, name: str) -> str | None:
    found = value.get(name)
    return str(found) if isinstance(found, str | int | float) and found != "" else None
