from __future__ import annotations

from typing import Any

import pytest

from processor.dialects.base import Asked, UpstreamRequest
from processor.dialects.dashscope_chat import DashScopeChat
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked

CHAT = DashScopeChat(
    multimodal=("qwen*-vl*",),
    stream_only=("qwq*",),
    thinks_streamed=("qwen3-8b",),
    efforts={"none": {"enable_thinking": False}, "high": {"enable_thinking": True, "thinking_budget": 99}},
    effort_known=("deepseek*",),
)


def asking(
    *messages: dict[str, Any], model: str = "qwen-plus", stream: bool = False, drop: bool = False, **more: Any
) -> Asked:
    fields = {"model": "m", "messages": messages or [{"role": "user", "content": "Hello"}], **more}
    return asked(decode_fields(encode(fields)), model=model, stream=stream, drop_params=drop)


def parameters(request: UpstreamRequest) -> dict[str, Any]:
    found: dict[str, Any] = decode(request.body)["parameters"]
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frequency_penalty", 0.5),
        ("logit_bias", {"1": 1}),
        ("web_search_options", {}),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "allowed_tools", "allowed_tools": {}}),
        ("reasoning_effort", "enormous"),
        ("banana", 1),
    ],
)
def test_what_dashscope_cannot_do_is_refused_by_name_unless_it_may_be_dropped(name: str, value: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        CHAT.request(asking(**{name: value}))
    assert refused.value.param == name
    assert parameters(CHAT.request(asking(drop=True, **{name: value}))) == {"result_format": "message"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("frequency_penalty", 0), ("tool_choice", None), ("user", "ann"), ("store", True), ("logit_bias", {})],
)
def test_what_changes_nothing_is_left_out(name: str, value: Any) -> None:
    assert parameters(CHAT.request(asking(**{name: value}))) == {"result_format": "message"}


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("temperature", "hot", "temperature"),
        ("max_tokens", 1.5, "max_tokens"),
        ("stop", [1], "stop[0]"),
        ("tools", [{"type": "function", "function": {}}], "tools[0].function"),
        ("tools", [{"type": "custom", "custom": {"name": "shell"}}], "tools[0].type"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused_by_its_place(name: str, value: Any, place: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        CHAT.request(asking(**{name: value}))
    assert refused.value.param == place


PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}


@pytest.mark.parametrize(
    ("model", "message", "place"),
    [
        ("qwen-plus", {"role": "user", "content": [PICTURE]}, "messages[0].content[0]"),
        ("qwen-plus", {"role": "function", "name": "f", "content": "1"}, "messages[0].role"),
        (
            "qwen-vl-max",
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
            "messages[0].content[0].type",
        ),
        ("qwen-vl-max", {"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
        ("qwen-vl-max", {"role": "user", "content": [{"type": "input_audio"}]}, "messages[0].content[0].input_audio"),
        (
            "qwen-plus",
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]},
            "messages[0].tool_calls[0]",
        ),
    ],
)
def test_content_that_a_model_cannot_read_is_refused_by_its_place(
    model: str, message: dict[str, Any], place: str
) -> None:
    with pytest.raises(MalformedRequest) as refused:
        CHAT.request(asking(message, model=model))
    assert refused.value.param == place


def test_an_effort_yields_to_the_clients_own_parameters() -> None:
    sent = parameters(CHAT.request(asking(reasoning_effort="high", thinking_budget=7)))
    assert sent == {"result_format": "message", "enable_thinking": True, "thinking_budget": 7}


def test_an_effort_goes_to_models_that_know_it() -> None:
    sent = parameters(CHAT.request(asking(model="deepseek-v4", reasoning_effort="max")))
    assert sent == {"result_format": "message", "reasoning_effort": "max"}


@pytest.mark.parametrize("thinking", [{"reasoning_effort": "high"}, {"enable_thinking": True}])
def test_a_model_that_thinks_in_streams_only_streams_for_a_client_that_wants_thinking(thinking: dict[str, Any]) -> None:
    request = CHAT.request(asking(model="qwen3-8b", **thinking))
    assert dict(request.headers) == {"x-dashscope-sse": "enable"}
    assert parameters(request)["incremental_output"] is True


@pytest.mark.parametrize("settings", [{}, {"reasoning_effort": "none"}, {"enable_thinking": False}])
def test_a_model_that_thinks_in_streams_only_is_told_not_to_where_the_answer_is_whole(settings: dict[str, Any]) -> None:
    request = CHAT.request(asking(model="qwen3-8b", **settings))
    assert request.headers == ()
    assert parameters(request) == {"result_format": "message", "enable_thinking": False}


def test_the_newer_limit_of_tokens_wins() -> None:
    assert parameters(CHAT.request(asking(max_tokens=1, max_completion_tokens=2)))["max_tokens"] == 2


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"', b'{"output":{"choices":3}}', b"{}", b'{"output":null}'])
def test_an_answer_that_is_not_dashscopes_breaks_its_protocol(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        CHAT.response(body, asking())


def test_an_answer_without_a_count_tells_how_much_was_said() -> None:
    body = encode(
        {
            "request_id": "q",
            "output": {
                "choices": [
                    {
                        "message": {
                            "content": "世界",
                            "reasoning_content": "ab",
                            "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, {"id": "odd"}],
                        }
                    }
                ]
            },
        }
    )
    answer = CHAT.response(body, asking())
    assert (answer.usage, answer.output_chars) == (None, len("世界abf{}".encode()))
    choice = decode(answer.body)["choices"][0]
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_q_0"]
    assert choice["finish_reason"] == "tool_calls"


def test_an_error_among_folded_events_is_an_error() -> None:
    events = b'event:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling","message":"Slower."}\n\n'
    with pytest.raises(UpstreamRefused) as refused:
        CHAT.response(events, asking(model="qwq-plus"))
    assert (refused.value.status, refused.value.message) == (429, "Slower.")
