"""What a chat request becomes for Gemini, and what of it is refused. Whole exchanges are in the golden files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import Asked
from processor.dialects.gemini_chat import GeminiChat
from processor.dialects.gemini_rules import GeminiRules, Thinking
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import JSON, decode, decode_fields, encode
from tests.support.asked import asked

HELLO: list[JSON] = [{"role": "user", "content": "Hello"}]
CLOCK: JSON = {"type": "function", "function": {"name": "clock"}}


def asking(model: str = "gemini-2.5-flash", *, drop_params: bool = False, **fields: Any) -> Asked:
    body = encode({"messages": HELLO, **fields})
    return asked(decode_fields(body), model=model, drop_params=drop_params)


def sent(model: str = "gemini-2.5-flash", *, drop_params: bool = False, **fields: Any) -> Any:
    return decode(GeminiChat().request(asking(model, drop_params=drop_params, **fields)).body)


def answered(parts: list[JSON], model: str = "gemini-3-pro-preview") -> Any:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    return decode(GeminiChat().response(encode({"candidates": [candidate]}), asking(model)).body)


def refusal_of(**fields: Any) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as refused:
        sent(**fields)
    return refused.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logit_bias", {"5": 1}),
        ("functions", [{"name": "f"}]),
        ("web_search_options", {}),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("modalities", ["text", "audio"]),
        ("response_format", {"type": "grammar"}),
        ("reasoning_effort", "extreme"),
    ],
)
def test_what_gemini_cannot_do_is_refused_by_name_or_left_out(name: str, value: Any) -> None:
    refused = refusal_of(**{name: value})
    assert (refused.status, refused.param, refused.code) == (400, name, "unsupported_parameter")
    assert sent(drop_params=True, **{name: value}) == sent()


@pytest.mark.parametrize(
    "harmless",
    [
        {"parallel_tool_calls": True},
        {"logit_bias": {}},
        {"frequency_penalty": 0, "presence_penalty": 0.0},
        {"n": 1, "logprobs": False, "top_logprobs": 0},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"stop": None, "seed": None, "tools": None, "tool_choice": "auto"},
        {"user": "u", "store": True, "metadata": {}, "service_tier": "auto", "stream_options": {"include_usage": True}},
    ],
)
def test_what_changes_nothing_is_not_sent(harmless: JSON) -> None:
    assert sent(**harmless) == sent()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": []}]}, "messages"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0]"),
        ({"messages": [*HELLO, {"role": "tool", "tool_call_id": "c", "content": "x"}]}, "messages[1].tool_call_id"),
        ({"messages": [*HELLO, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "JVBERi0="}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://[x/"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a,b"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "["}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function"),
        ({"tools": [CLOCK, {"type": "custom", "custom": {"name": "x"}}]}, "tools[1]"),
        ({"tools": [CLOCK], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": 7}, "stop"),
        ({"extra_body": {"google": {"thinking_configuration": {}}}}, "extra_body.google"),
    ],
)
def test_a_wrong_request_is_refused_by_the_place(fields: JSON, param: str) -> None:
    refused = refusal_of(**fields)
    assert (refused.status, refused.param) == (400, param)


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-pro", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "max", {"thinkingBudget": 32768, "includeThoughts": True}),
        ("gemini-2.5-flash-preview-09-2025", "xhigh", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-flash-latest", "none", {"thinkingLevel": "MINIMAL"}),
        ("models/gemini-3-flash", "high", None),
    ],
)
def test_an_effort_is_a_budget_or_a_level_by_the_model(model: str, effort: str, config: JSON | None) -> None:
    if config is None:  # a name that no pattern fits
        with pytest.raises(MalformedRequest, match="reasoning_effort"):
            sent(model, reasoning_effort=effort)
        return
    assert sent(model, reasoning_effort=effort)["generationConfig"] == {"thinkingConfig": config}


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3-pro-preview", "gemini-3.1-pro-preview"])
def test_a_model_that_always_thinks_is_not_told_to_stop(model: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        sent(model, reasoning_effort="none")
    assert refused.value.param == "reasoning_effort"
    assert sent(model, reasoning_effort="none", drop_params=True) == sent(model)


def test_a_model_that_never_thinks_may_be_told_not_to() -> None:
    assert sent("gemini-2.0-flash", reasoning_effort="none") == sent("gemini-2.0-flash")
    with pytest.raises(MalformedRequest, match="reasoning_effort"):
        sent("gemini-2.0-flash", reasoning_effort="low")


def test_the_rules_are_data_that_a_vendor_may_replace() -> None:
    rules = GeminiRules(thinking=(Thinking(models=("house*",), efforts={"low": {"thinkingBudget": 5}}),))
    chat = GeminiChat(path="/v1/projects/p/locations/l/publishers/google/models/", rules=rules)
    request = chat.request(asking("house-1", reasoning_effort="low"))
    assert request.path == "/v1/projects/p/locations/l/publishers/google/models/house-1:generateContent"
    assert decode(request.body)["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 5}}


@pytest.mark.parametrize(
    ("model", "segment"), [("models/gemini-3", "gemini-3"), ("a/b?c", "a%2Fb%3Fc"), ("../../x", "..%2F..%2Fx")]
)
def test_a_model_is_one_segment_of_the_path(model: str, segment: str) -> None:
    assert GeminiChat().request(asking(model)).path == f"/v1beta/models/{segment}:generateContent"


def test_a_newer_limit_wins_over_the_older_one() -> None:
    assert sent(max_tokens=5, max_completion_tokens=9)["generationConfig"] == {"maxOutputTokens": 9}


def test_a_refusal_is_what_the_model_said() -> None:
    messages = [*HELLO, {"role": "assistant", "content": None, "refusal": "No."}, *HELLO]
    assert sent(messages=messages)["contents"][1] == {"role": "model", "parts": [{"text": "No."}]}


def test_a_signature_without_a_text_gets_an_empty_one() -> None:
    detail = {"type": "reasoning.encrypted", "data": "U2ln", "format": "google-gemini-v1"}
    messages = [*HELLO, {"role": "assistant", "content": "", "reasoning_details": [detail]}, *HELLO]
    assert sent(messages=messages)["contents"][1]["parts"] == [{"text": "", "thoughtSignature": "U2ln"}]


def test_ids_and_signatures_are_for_models_that_know_them() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "noon"}
    messages = [*HELLO, {"role": "assistant", "tool_calls": [call]}, result]
    old = sent("gemini-2.5-flash", messages=messages)["contents"]
    assert old[1]["parts"] == [{"functionCall": {"name": "clock", "args": {}}}]
    assert old[2]["parts"] == [{"functionResponse": {"name": "clock", "response": {"output": "noon"}}}]
    new = sent("gemini-3-pro-preview", messages=messages)["contents"]
    assert new[1]["parts"][0]["functionCall"]["id"] == new[2]["parts"][0]["functionResponse"]["id"] == "call_1"
    assert new[1]["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"


args = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
calls = st.lists(st.tuples(st.text(min_size=1, max_size=8), args), min_size=1, max_size=4)


@given(text=st.text(max_size=10), made=calls, numbered=st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_gemini_said_comes_back_to_it_as_it_was(text: str, made: list[tuple[str, JSON]], numbered: bool) -> None:
    parts: list[JSON] = [{"text": text}] if text else []
    for at, (name, arguments) in enumerate(made):
        part: JSON = {"functionCall": {"name": name, "args": arguments}}
        if numbered:
            part["functionCall"]["id"] = f"fc-{at}"
        if at == 0:
            part["thoughtSignature"] = "U2ln"
        parts.append(part)
    message = answered(parts)["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in message["tool_calls"]]
    contents = sent("gemini-3-pro-preview", messages=[*HELLO, message, *reversed(results)])["contents"]
    returned = contents[1]["parts"]
    if not numbered:
        ids = [part["functionCall"].pop("id") for part in returned if "functionCall" in part]
        assert ids == [f"call_golden_{at}" for at in range(len(made))]
    assert returned == parts
    assert [part["functionResponse"]["name"] for part in contents[2]["parts"]] == [name for name, _ in made]


def test_a_thought_signed_by_the_text_comes_back() -> None:
    message = answered([{"text": "hm", "thought": True}, {"text": "Hi", "thoughtSignature": "U2ln"}])["choices"][0][
        "message"
    ]
    assert message["reasoning_content"] == "hm"
    contents = sent(messages=[*HELLO, message, *HELLO])["contents"]
    assert contents[1]["parts"] == [{"text": "Hi", "thoughtSignature": "U2ln"}]


def test_ids_are_counted_over_all_choices() -> None:
    called: JSON = {"content": {"parts": [{"functionCall": {"name": "clock"}}]}, "finishReason": "STOP"}
    body = encode({"candidates": [{**called, "index": 1}, called]})
    choices = decode(GeminiChat().response(body, asking()).body)["choices"]
    assert [choice["message"]["tool_calls"][0]["id"] for choice in choices] == ["call_golden_0", "call_golden_1"]


def test_an_infinite_log_probability_is_openais_number_for_it() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": "-Infinity"}, {"token": "b"}]}
    candidate = {"content": {"parts": [{"text": "ab"}]}, "finishReason": "STOP", "logprobsResult": result}
    answer = decode(GeminiChat().response(encode({"candidates": [candidate]}), asking()).body)
    assert [token["logprob"] for token in answer["choices"][0]["logprobs"]["content"]] == [-9999.0, 0.0]


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"[{}]", b"null", b"7", b"<html>", b'{"candidates":[]}', b'{"candidates":7}']
)
def test_a_body_that_is_no_answer_is_the_vendors_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        GeminiChat().response(body, asking())


def test_an_error_in_a_list_is_an_error() -> None:
    with pytest.raises(UpstreamRefused) as refused:
        GeminiChat().response(b'[{"error":{"code":429,"message":"Slow","status":"RESOURCE_EXHAUSTED"}}]', asking())
    assert (refused.value.status, refused.value.message) == (429, "Slow")
