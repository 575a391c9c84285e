from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.vendor_errors import error_inside, refusal
from processor.schema.error import error_body
from processor.wire.json import decode


def read(status: int, body: Any) -> tuple[int, str, str, str]:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = refusal(status, written, vendor="acme")
    return error.status, error.type, error.code, error.message


def test_openais_own_envelope() -> None:
    body = {"error": {"message": "bad", "type": "invalid_request_error", "param": "n", "code": "bad_n"}}
    error = refusal(400, json.dumps(body).encode(), vendor="acme")
    assert decode(error_body(error)) == body


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "m", "code": 400}}, "400", "m"),
        ({"error": {"type": "t", "message": "m"}}, "invalid_request", "m"),
        ({"error": {"code": "1210", "message": "m"}}, "1210", "m"),
        ({"error": "m"}, "invalid_request", "m"),
        ({"base_resp": {"status_code": 2013, "status_msg": "m"}}, "2013", "m"),
        ({"Response": {"Error": {"Code": "C", "Message": "m"}, "RequestId": "r"}}, "C", "m"),
        ({"ResponseMetadata": {"Error": {"Code": "C", "Message": "m"}}}, "C", "m"),
        ({"error_code": 336003, "error_msg": "m"}, "336003", "m"),
        ({"code": "InvalidParameter", "message": "m", "request_id": "r"}, "InvalidParameter", "m"),
        ({"code": 20012, "message": "m", "data": None}, "20012", "m"),
        ({"code": "c", "msg": "m"}, "c", "m"),
        ({"object": "error", "message": "m", "type": "t", "param": None, "code": 400}, "400", "m"),
        ({"detail": "m"}, "invalid_request", "m"),
        ({"message": "m", "data": ""}, "invalid_request", "m"),
        ([{"error": {"code": 400, "message": "m"}}], "400", "m"),
        ("m", "invalid_request", "m"),
        (b"m\n", "invalid_request", "m"),
    ],
)
def test_every_envelope_gives_message_and_code(body: Any, code: str, message: str) -> None:
    assert read(400, body) == (400, "invalid_request_error", code, message)


@pytest.mark.parametrize(
    ("status", "told", "type_", "code"),
    [
        (400, 400, "invalid_request_error", "invalid_request"),
        (401, 401, "authentication_error", "upstream_authentication_failed"),
        (402, 402, "insufficient_quota", "insufficient_quota"),
        (403, 403, "permission_error", "upstream_permission_denied"),
        (404, 404, "not_found_error", "model_not_found"),
        (413, 413, "invalid_request_error", "request_too_large"),
        (422, 422, "invalid_request_error", "upstream_error"),
        (429, 429, "rate_limit_error", "rate_limit_exceeded"),
        (434, 403, "permission_error", "upstream_permission_denied"),
        (435, 413, "invalid_request_error", "request_too_large"),
        (499, 502, "server_error", "upstream_error"),
        (500, 500, "server_error", "upstream_error"),
        (503, 503, "server_error", "upstream_overloaded"),
        (504, 504, "server_error", "upstream_timeout"),
        (520, 502, "server_error", "upstream_error"),
        (529, 503, "server_error", "upstream_overloaded"),
        (301, 502, "server_error", "upstream_error"),
        (700, 502, "server_error", "upstream_error"),
    ],
)
def test_the_type_goes_by_a_status_that_clients_know(status: int, told: int, type_: str, code: str) -> None:
    assert read(status, {"error": {"message": "m"}}) == (told, type_, code, "m")


@pytest.mark.parametrize(
    "error",
    [
        {"type": "insufficient_quota", "code": None},
        {"type": "exceeded_current_quota_error"},
        {"code": "1113"},
        {"code": "Arrearage"},
        {"code": "AccountOverdueError"},
        {"code": 30001},
    ],
)
def test_a_bill_is_told_from_a_rate(error: dict[str, Any]) -> None:
    told = read(429, {"error": {"message": "m", **error}})
    assert told == (429, "insufficient_quota", "insufficient_quota", "m")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"3", {"error": None}, {"error": {}}, {"error": []}])
def test_an_error_without_a_reason_names_vendor_and_status(body: Any) -> None:
    assert read(503, body)[3] == "acme answered 503 without a reason."


def test_a_page_is_cut() -> None:
    message = read(502, b"<html>" + "日".encode() * 1000)[3]
    assert message.startswith("<html>日日")
    assert 509 < len(message.encode()) <= 512


@given(status=st.integers(min_value=300, max_value=700), body=st.binary(max_size=200))
def test_any_body_will_do(status: int, body: bytes) -> None:
    error = refusal(status, body, vendor="acme")
    assert 400 <= error.status < 600
    assert error.message
    assert decode(error_body(error))["error"]["type"]


_values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)
_names = ("error", "message", "code", "type", "base_resp", "Response", "Error", "error_code", "status_msg", "object")


@given(
    value=st.recursive(
        _values,
        lambda inner: st.dictionaries(st.sampled_from(_names), inner) | st.lists(inner, max_size=2),
        max_leaves=10,
    )
)
def test_any_json_will_do(value: Any) -> None:
    assert refusal(500, json.dumps(value).encode(), vendor="acme").message
    if isinstance(value, dict):
        error = error_inside(value, {})
        assert error is None or 400 <= error.status < 600


def inside(answer: dict[str, Any], **statuses: int) -> int | None:
    error = error_inside(answer, statuses)
    return error.status if error else None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 400}, 400),
        ({"code": "503"}, 503),
        ({"code": 529}, 503),
        ({"code": "1"}, 502),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": "RateLimitExceeded.EndpointRPMExceeded"}, 429),
        ({"code": "Throttling.AllocationQuota"}, 429),
        ({"type": "overloaded_error"}, 429),
        ({"code": "ServerOverloaded"}, 429),
        ({"type": "authentication_error"}, 401),
        ({"code": "invalid_api_key"}, 401),
        ({"code": "AccessDenied"}, 403),
        ({"code": "InvalidEndpointOrModel.NotFound"}, 404),
        ({"type": "unsafe_request"}, 400),
        ({"code": "InputTextSensitiveContentDetected"}, 400),
        ({"code": "context_length_exceeded"}, 400),
        ({"type": "invalid_request_error"}, 400),
        ({"code": "RequestTimeOut"}, 504),
        ({"code": "service_unavailable"}, 503),
        ({"type": "server_error"}, 500),
        ({"type": "puzzling"}, 502),
        ({}, 502),
    ],
)
def test_an_error_inside_a_200_has_the_status_its_words_mean(error: dict[str, Any], status: int) -> None:
    assert inside({"error": {"message": "m", **error}}) == status


def test_the_vendors_own_table_of_codes_comes_first() -> None:
    assert inside({"error": {"message": "m", "code": "1302"}}, **{"1302": 429}) == 429
    assert inside({"error": {"message": "m", "code": "500"}}, **{"500": 503}) == 503


@pytest.mark.parametrize(
    "answer",
    [
        {"error": None, "choices": []},
        {"error": {"code": 0, "message": ""}},
        {"choices": [], "code": 5, "message": "an answer has choices"},
        {"code": 0, "message": "ok"},
        {"code": 200, "message": "ok"},
        {"message": "no code"},
        {"code": "c"},
        {},
    ],
)
def test_what_is_no_error_inside_a_200(answer: dict[str, Any]) -> None:
    assert inside(answer) is None


@pytest.mark.parametrize(
    "answer", [{"object": "error", "message": "m"}, {"code": 20012, "message": "m"}, {"error": "m"}]
)
def test_what_is_one(answer: dict[str, Any]) -> None:
    error = error_inside(answer, {})
    assert error is not None
    assert error.message == "m"
