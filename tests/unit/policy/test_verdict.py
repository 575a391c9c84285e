from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.vendor_errors import refusal
from processor.errors import UpstreamError, UpstreamProtocolError, UpstreamUnavailable
from processor.policy.verdict import ANSWERED, UNREACHED, Blame, Cooldowns, Outcome, Verdict, judge


def _refused(status: int, body: str) -> Verdict:
    return judge(Outcome.of(refusal(status, body.encode(), vendor="newco")))


_LATE = UpstreamUnavailable("late", status=504, code="upstream_timeout")
_STALLED = UpstreamUnavailable("stalled", status=504, code="upstream_stalled")
_CUT = UpstreamProtocolError("cut", code="upstream_stream_cut")


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529, 401, 402, 403])
def test_another_target_makes_good_what_the_vendor_failed_at(status: int) -> None:
    verdict = judge(Outcome(status=status))
    assert verdict.retry_next
    assert verdict.blame in (Blame.TARGET, Blame.LIMIT, Blame.CREDENTIAL)


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422, 451])
def test_no_other_target_is_asked_what_the_client_did_wrong(status: int) -> None:
    verdict = judge(Outcome(status=status))
    assert not verdict.retry_next
    assert not verdict.retry_same
    assert verdict.cooldown is None
    assert verdict.blame in (Blame.CLIENT, Blame.CONTENT)


@pytest.mark.parametrize("error", [_LATE, _STALLED, _CUT])
def test_what_came_late_or_was_cut_is_the_targets_doing(error: UpstreamError) -> None:
    assert judge(Outcome.of(error)).blame is Blame.TARGET
    assert judge(Outcome.of(error)).retry_next


def test_a_target_that_could_not_be_reached_may_be_asked_once_more() -> None:
    assert judge(UNREACHED) == Verdict(retry_next=True, retry_same=True, blame=Blame.TARGET, cooldown=None)


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (Outcome(status=500), True),
        (Outcome(status=502), True),
        (Outcome(status=409), True),
        (Outcome.of(_CUT), True),
        (Outcome.of(_LATE), False),
        (Outcome.of(_STALLED), False),
        (Outcome(status=None, code="upstream_timeout"), False),
        (Outcome(status=503), False),
        (Outcome(status=503, retry_after=2.0), True),
        (Outcome(status=429), False),
        (Outcome(status=429, retry_after=2.0), True),
        (Outcome(status=401), False),
        (Outcome(status=400), False),
        (Outcome(status=400, retry_after=2.0), False),
    ],
)
def test_the_same_target_is_asked_again_after_a_lone_mishap_or_when_it_said_when(outcome: Outcome, again: bool) -> None:
    assert judge(outcome).retry_same is again


def test_a_model_that_one_vendor_does_not_have_another_may() -> None:
    verdict = judge(Outcome(status=404, code="model_not_found"))
    assert verdict == Verdict(retry_next=True, retry_same=False, blame=Blame.CLIENT, cooldown=None)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_is_nobodys_fault(status: int) -> None:
    assert judge(Outcome(status=status)) == ANSWERED


@pytest.mark.parametrize("status", [301, 302, 101])
def test_a_redirection_is_no_answer(status: int) -> None:
    assert judge(Outcome(status=status)).blame is Blame.TARGET


def test_what_the_gateway_itself_lost_is_not_held_against_a_target() -> None:
    assert judge(Outcome.of(UpstreamUnavailable("lost", code="request_lost"))) == ANSWERED


@given(
    status=st.none() | st.integers(100, 999),
    code=st.text(max_size=20) | st.sampled_from(["context_length_exceeded", "insufficient_quota", "1301"]),
    retry_after=st.none() | st.floats(),
)
def test_nothing_is_retried_once_the_client_has_a_part(
    status: int | None, code: str, retry_after: float | None
) -> None:
    fresh = judge(Outcome(status=status, code=code, retry_after=retry_after))
    seen = judge(Outcome(status=status, code=code, retry_after=retry_after, content_seen=True))
    assert not seen.retry_next
    assert not seen.retry_same
    assert (seen.blame, seen.cooldown) == (fresh.blame, fresh.cooldown)
    assert fresh.cooldown is None or 0 <= fresh.cooldown <= 3600


# Cooldowns


@pytest.mark.parametrize(
    ("outcome", "cooldown"),
    [
        (Outcome(status=429), 5.0),
        (Outcome(status=429, retry_after=17.0), 17.0),
        (Outcome(status=429, retry_after=0.0), 0.0),
        (Outcome(status=429, retry_after=86_400.0), 3600.0),
        (Outcome(status=429, retry_after=math.nan), 5.0),
        (Outcome(status=429, retry_after=-1.0), 5.0),
        (Outcome(status=503, retry_after=30.0), 30.0),
        (Outcome(status=503), None),
        (Outcome(status=500), None),
        (Outcome(status=401), 300.0),
        (Outcome(status=401, retry_after=1.0), 300.0),
        (Outcome(status=400, retry_after=1.0), None),
        (UNREACHED, None),
    ],
)
def test_a_target_is_left_alone_for_as_long_as_it_asks(outcome: Outcome, cooldown: float | None) -> None:
    assert judge(outcome).cooldown == cooldown


def test_cooldowns_can_be_set() -> None:
    cooldowns = Cooldowns(limit=1.0, credential=2.0, most=3.0)
    outcomes = (Outcome(status=429), Outcome(status=403), Outcome(status=429, retry_after=9.0))
    assert [judge(outcome, cooldowns).cooldown for outcome in outcomes] == [1.0, 2.0, 3.0]


# Vendors' own words


def _error(message: str, **more: object) -> str:
    return json.dumps({"error": {"message": message, **more}})


_OVERFLOWS = {
    "openai": _error(
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        type="invalid_request_error",
        code="context_length_exceeded",
    ),
    "openai, without its code": _error(
        "Your input exceeds the context window of this model. Please adjust your input."
    ),
    "anthropic's prompt": _error("prompt is too long: 208310 tokens > 200000 maximum", type="invalid_request_error"),
    "anthropic's answer": _error("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    "gemini": _error(
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        code=400,
        status="INVALID_ARGUMENT",
    ),
    "bedrock": '{"message":"Input is too long for requested model."}',
    "bedrock's titan": '{"message":"400 Bad Request: Too many input tokens. Max input tokens: 8192"}',
    "dashscope": '{"code":"InvalidParameter","message":"Range of input length should be [1, 129024]"}',
    "ark": _error("Total tokens of image and text exceed max message tokens. Request id: 02", code="InvalidParameter"),
    "moonshot": _error("Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"),
    "minimax": '{"base_resp":{"status_code":2013,"status_msg":"invalid params, context window exceeds limit"}}',
    "zhipu": _error("输入有误", code="1261"),
    "zhipu, without its code": _error("Prompt 超长"),
    "qianfan": _error("too long", code="tokens_too_long", type="invalid_request_error"),
    "siliconflow": '{"code":20015,"message":"length of prompt_tokens (40000) must be less than max_seq_len (32768)."}',
    "xunfei": _error("token数量超过上限", code="10907", type="api_error"),
    "llama.cpp": _error("the request exceeds the available context size", code=400, type="exceed_context_size_error"),
}


@pytest.mark.parametrize("vendor", _OVERFLOWS)
def test_a_context_that_is_too_short_is_known_in_every_vendors_words(vendor: str) -> None:
    verdict = _refused(400, _OVERFLOWS[vendor])
    assert verdict == Verdict(retry_next=False, retry_same=False, blame=Blame.CONTEXT, cooldown=None)


_FILTERED = {
    "azure": (400, _error("The response was filtered.", code="content_filter", param="prompt")),
    "openai": (400, _error("Invalid prompt: it was flagged.", code="invalid_prompt")),
    "openai's images": (400, _error("Your request was rejected.", code="moderation_blocked")),
    "openai, without its code": (400, _error("Your request was rejected as a result of our safety system.")),
    "anthropic": (400, _error("Output blocked by content filtering policy", type="invalid_request_error")),
    "dashscope": (400, '{"code":"DataInspectionFailed","message":"Input data may be unwanted.","request_id":"q"}'),
    "ark": (400, _error("…", code="InputTextSensitiveContentDetected.PolicyViolation", type="BadRequest")),
    "deepseek": (400, _error("Content Exists Risk", type="invalid_request_error", code=None)),
    "moonshot": (
        400,
        _error("The request was rejected because it was considered high risk", type="content_filter"),
    ),
    "zhipu": (400, _error("…", code="1301")),
    "zhipu, without its code": (400, _error("系统检测到输入或生成内容可能包含不安全或敏感内容")),
    "qianfan": (500, _error("…", code="system_unsafe", type="unsafe_request")),
    "minimax": (400, '{"base_resp":{"status_code":1026,"status_msg":"input"}}'),
    "xunfei": (400, _error("…", code="10013", type="api_error")),
    "siliconflow": (451, '{"code":0,"message":"…"}'),
    "xai": (403, '{"code":"permission","error":"Content violates usage guidelines."}'),
}


@pytest.mark.parametrize("vendor", _FILTERED)
def test_a_content_filter_is_known_in_every_vendors_words(vendor: str) -> None:
    verdict = _refused(*_FILTERED[vendor])
    assert verdict == Verdict(retry_next=False, retry_same=False, blame=Blame.CONTENT, cooldown=None)


_UNPAID = {
    "openai": (429, _error("You exceeded your current quota", code="insufficient_quota")),
    "moonshot": (429, _error("suspended", type="exceeded_current_quota_error")),
    "zhipu": (429, _error("余额不足", code="1113")),
    "dashscope": (400, '{"code":"Arrearage","message":"Access denied."}'),
    "ark": (403, _error("…", code="AccountOverdueError", type="Forbidden")),
    "anthropic": (400, _error("Your credit balance is too low to access the Anthropic API.")),
    "deepseek": (402, _error("Insufficient Balance", type="unknown_error")),
    "google's key": (400, _error("Not valid.", status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}])),
    "google's countries": (400, _error("User location is not supported.", status="FAILED_PRECONDITION")),
}


@pytest.mark.parametrize("vendor", _UNPAID)
def test_a_bill_or_a_key_is_the_operators_to_see_to(vendor: str) -> None:
    verdict = _refused(*_UNPAID[vendor])
    assert verdict == Verdict(retry_next=True, retry_same=False, blame=Blame.CREDENTIAL, cooldown=300.0)


@pytest.mark.parametrize(
    "body",
    [
        '{"message":"Too many tokens, please wait before trying again."}',  # Bedrock: no context
        _error("You exceeded your current quota, please check your plan and billing details."),  # Gemini: no bill
        _error("您当前使用该API的并发数过高", code="1302"),  # Zhipu: concurrency
    ],
)
def test_a_limit_is_not_taken_for_something_else(body: str) -> None:
    verdict = _refused(429, body)
    assert (verdict.blame, verdict.retry_next, verdict.cooldown) == (Blame.LIMIT, True, 5.0)


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-sonnet",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "Invalid 'input[0].name': string too long.",
        "Unsupported parameter: 'safety_identifier' is not supported with this model.",
    ],
)
def test_a_bad_parameter_is_the_clients_doing(message: str) -> None:
    outcome = Outcome(status=400, code="invalid_request", type="invalid_request_error", message=message)
    assert judge(outcome).blame is Blame.CLIENT


@pytest.mark.parametrize(
    ("status", "code", "blame"),
    [
        (429, "content_filter_rate_limited", Blame.LIMIT),
        (429, "1301", Blame.LIMIT),
        (503, "inspection_unavailable", Blame.TARGET),
        (401, "sensitive", Blame.CREDENTIAL),
    ],
)
def test_some_statuses_speak_for_themselves(status: int, code: str, blame: Blame) -> None:
    assert judge(Outcome(status=status, code=code)).blame is blame


def test_what_a_message_says_at_length_is_not_read() -> None:
    assert judge(Outcome(status=400, message="No: " + "x" * 2000 + "context length")).blame is Blame.CLIENT


def test_a_long_message_costs_no_long_look() -> None:
    outcome = Outcome(status=400, message="input tokens " * 200_000)
    assert judge(outcome).blame is Blame.CLIENT
