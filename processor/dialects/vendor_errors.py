"""Vendors' error envelopes to one `UpstreamRefused` in OpenAI's terms. The vendor's own message is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from processor.errors import UpstreamRefused
from processor.wire.json import JSON, JSONError, decode

_TEXT_LIMIT = 512
"""Bytes kept of an error that is not JSON: an HTML page says what it has to say in its first lines."""

_ODD_STATUSES = {
    434: 403,  # Zhipu: no permission for the model
    435: 413,  # Zhipu: the file is too large
    499: 502,  # Moonshot: its client, which is the gateway, hung up
    529: 503,  # Anthropic, MiniMax: overloaded
}
_TRUE_STATUSES = {"API_KEY_INVALID": 401}
"""By code, where a vendor's status misleads: Google answers a wrong key with 400."""

_LAST_KNOWN_STATUS = 511
"""RFC 6585's; what lies above is a proxy's invention, such as Cloudflare's 520 to 527."""

_TYPES = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "upstream_authentication_failed"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "upstream_permission_denied"),
    404: ("not_found_error", "model_not_found"),
    408: ("server_error", "upstream_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "upstream_overloaded"),
    504: ("server_error", "upstream_timeout"),
}
"""OpenAI's type for each status, and the code for vendors that give none."""

_OUT_OF_FUNDS = frozenset(
    {
        "insufficient_quota",  # OpenAI
        "exceeded_current_quota_error",  # Moonshot
        "1113",  # Zhipu
        "30001",  # SiliconFlow
        "Arrearage",  # DashScope
        "AccountOverdueError",  # Ark
    }
)
"""Codes and types that mean a bill, whatever the status that comes with them."""

_BY_WORD = (
    (("rate_limit", "ratelimit", "rate_limited", "throttl", "toomany", "too_many", "overloaded", "quota"), 429),
    (("arrearage", "overdue", "balance"), 402),
    (("authentication", "api_key", "apikey", "unauthorized"), 401),
    (("permission", "accessdenied", "access_denied", "forbidden"), 403),
    (("notfound", "not_found", "modelnotopen"), 404),
    (("content_filter", "sensitive", "inspection", "riskdetection", "unsafe", "context_length"), 400),
    (("invalid_request", "badrequest", "bad_request", "invalidparameter", "invalid_parameter"), 400),
    (("timeout", "timed_out"), 504),
    (("unavailable",), 503),
    (("server_error", "internal", "api_error"), 500),
)
"""What a code or type says about the status it would have had; the first that fits."""

_HTTP_STATUS = re.compile(r"[45][0-9]{2}")

_Parts = tuple[str, str | None, str | None, str | None]
"""Message, code, param, type."""


def refusal(status: int, body: bytes, *, vendor: str) -> UpstreamRefused:
    """The error a vendor's answer with a status of 300 or more stands for; any body will do."""
    message, code, param, kind = _read(body)
    status = _TRUE_STATUSES.get(code or "", _sensible(status))
    return refused(
        status, message or f"{vendor} answered {status} without a reason.", code=code, param=param, kind=kind
    )


def refused(
    status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str | None = None
) -> UpstreamRefused:
    """An error with OpenAI's type for its status, and a code: the vendor's if it has one."""
    default = ("server_error" if status >= 500 else "invalid_request_error", "upstream_error")
    openai_type, default_code = _TYPES.get(status, default)
    if _OUT_OF_FUNDS & {code, kind}:
        openai_type = code = "insufficient_quota"
    return UpstreamRefused(message, status=status, type=openai_type, code=code or default_code, param=param)


def error_inside(answer: JSON, statuses: Mapping[str, int]) -> UpstreamRefused | None:
    """The error a 200, or an event of its stream, holds: `{"error": …}`, or a code and a message instead of choices.

    `statuses` are those of the vendor's codes; for others the words they are made of tell.
    """
    error = answer.get("error")
    if error and not (isinstance(error, dict) and not any(error.values())):
        message, code, param, kind = _from_value({"error": error})
    elif "choices" not in answer and _reports(answer):
        message, code, param, kind = _flat(answer)
    else:
        return None
    status = statuses.get(code or "") or _status_of(code, kind)
    return refused(status, message or "The vendor reported an error.", code=code, param=param, kind=kind)


def _reports(answer: JSON) -> bool:
    """Whether an object without choices is an error: vLLM's older form, or a code that does not mean success."""
    if answer.get("object") == "error":
        return True
    code = _text(answer, "code")
    return code not in (None, "0", "200") and bool(_text(answer, "message") or _text(answer, "msg"))


def _status_of(code: str | None, kind: str | None) -> int:
    """The HTTP status an error inside a 200 means: a code that is one, else what its words say, else 502."""
    if code and _HTTP_STATUS.fullmatch(code):
        return _sensible(int(code))
    text = f"{code or ''} {kind or ''}".lower()
    return next((status for words, status in _BY_WORD if any(word in text for word in words)), 502)


def _sensible(status: int) -> int:
    """A status that clients and Envoy's retry policy know."""
    if status in _ODD_STATUSES:
        return _ODD_STATUSES[status]
    return status if 400 <= status <= _LAST_KNOWN_STATUS else 502


def _read(body: bytes) -> _Parts:
    try:
        return _from_value(decode(body))
    except JSONError:
        return _plain(body)


def _from_value(value: Any) -> _Parts:
    if isinstance(value, list) and value:  # Gemini wraps the errors of a stream
        return _from_value(value[0])
    if isinstance(value, str):  # SiliconFlow's 401 and 404 are bare strings
        return _plain(value.encode())
    if not isinstance(value, dict):
        return _plain(b"")
    for name, reader in _ENVELOPES:
        if found := value.get(name):
            return reader(value, found)
    return _flat(value)


def _plain(text: bytes) -> _Parts:
    return text.strip()[:_TEXT_LIMIT].decode("utf-8", "ignore"), None, None, None


def _openai(_: JSON, error: Any) -> _Parts:
    if isinstance(error, str):  # Ollama
        return _plain(error.encode())
    if not isinstance(error, dict):
        return _plain(b"")
    return _google(error) if isinstance(error.get("status"), str) else _flat(error)


def _google(error: JSON) -> _Parts:
    """Gemini's and Vertex's: `code` is the HTTP status, `status` its name, and a detail may give the reason."""
    details = error["details"] if isinstance(error.get("details"), list) else []
    reasons = (_text(detail, "reason") for detail in details if isinstance(detail, dict))
    return _text(error, "message") or "", next(filter(None, reasons), None) or _text(error, "status"), None, None


def _minimax(_: JSON, outcome: Any) -> _Parts:
    if not isinstance(outcome, dict):
        return _plain(b"")
    return _text(outcome, "status_msg") or "", _text(outcome, "status_code"), None, None


def _tencent(_: JSON, response: Any) -> _Parts:
    error = response.get("Error") if isinstance(response, dict) else None
    if not isinstance(error, dict):
        return _plain(b"")
    return _text(error, "Message") or "", _text(error, "Code"), None, None


def _baidu_v1(value: JSON, _: Any) -> _Parts:
    return _text(value, "error_msg") or "", _text(value, "error_code"), None, None


_ENVELOPES = (
    ("error", _openai),
    ("base_resp", _minimax),
    ("Response", _tencent),
    ("ResponseMetadata", _tencent),  # Ark's management plane
    ("error_code", _baidu_v1),
)
"""By the name that tells them apart, the first that is there."""


def _flat(value: JSON) -> _Parts:
    """`message` and `code` side by side: DashScope, SiliconFlow, Xunfei, and the inside of OpenAI's own."""
    message = next(filter(None, (_text(value, name) for name in ("message", "msg", "Message", "detail"))), "")
    return message, _text(value, "code"), _text(value, "param"), _text(value, "type")


def _text(value: JSON, name: str) -> str | None:
    found = value.get(name)
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) and found != "" else None
