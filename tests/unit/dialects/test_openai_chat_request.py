from __future__ import annotations

from typing import Any

import pytest

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import (
    Clamp,
    Drop,
    Edit,
    Effort,
    Listed,
    LowerCaseModel,
    OneOf,
    OwnFields,
    Rename,
    SchemaToObject,
    Set,
    StreamOnly,
    ToolChoice,
)
from processor.errors import MalformedRequest
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked

HELLO = {"role": "user", "content": "Hello"}


def sent(*edits: Edit, model: str = "m", stream: bool = False, **fields: Any) -> Any:
    chat = OpenAIChat(edits=edits)
    return decode(chat.request(asked(decode_fields(encode(fields)), model=model, stream=stream)).body)


def test_messages_reach_the_vendor_as_they_were_written() -> None:
    written = b'[ {"role":"user", "content":"caf\\u00e9 \\/ \xe6\x97\xa5\xe6\x9c\xac", "x" : 1.0e0 } ]'
    body = b'{"model":"fast","messages":' + written + b',"temperature":0.70}'
    request = OpenAIChat().request(asked(decode_fields(body), model="gpt", stream=False))
    assert request.body == b'{"model":"gpt","messages":' + written + b',"temperature":0.70}'


def test_the_model_is_added_where_there_was_none() -> None:
    assert sent(messages=[HELLO]) == {"messages": [HELLO], "model": "m"}


def test_unknown_parameters_are_kept() -> None:
    assert sent(top_k=3, model="m") == {"top_k": 3, "model": "m"}


def test_a_stream_tells_its_usage() -> None:
    assert sent(stream=True)["stream_options"] == {"include_usage": True}


def test_a_client_that_wants_no_usage_does_not_stop_the_gateway_from_getting_it() -> None:
    chat = OpenAIChat()
    fields = decode_fields(b'{"stream":true,"stream_options":{"include_usage":false,"x":1}}')
    body = decode(chat.request(asked(fields, model="m", stream=True)).body)
    assert body["stream_options"] == {"include_usage": True, "x": 1}


def test_null_stream_options_are_none() -> None:
    body = (
        OpenAIChat()
        .request(asked(decode_fields(b'{"stream":true,"stream_options":null}'), model="m", stream=True))
        .body
    )
    assert decode(body)["stream_options"] == {"include_usage": True}


def test_an_old_server_is_not_asked_for_usage() -> None:
    body = OpenAIChat(stream_usage=False).request(asked(decode_fields(b'{"stream":true}'), model="m", stream=True)).body
    assert "stream_options" not in decode(body)


@pytest.mark.parametrize("options", [b'"yes"', b"[1]", b"7"])
def test_stream_options_that_are_no_object_are_the_clients_mistake(options: bytes) -> None:
    fields = decode_fields(b'{"stream":true,"stream_options":' + options + b"}")
    with pytest.raises(MalformedRequest) as refused:
        OpenAIChat().request(asked(fields, model="m", stream=True))
    assert refused.value.param == "stream_options"


def test_the_vendors_headers_go_along() -> None:
    request = OpenAIChat(headers=(("lora_id", "0"),)).request(asked({}, model="m", stream=False))
    assert request.headers == (("lora_id", "0"),)


def test_drop_leaves_hints_out() -> None:
    drop = Drop(frozenset({"user", "metadata", "n", "logit_bias"}))
    body = sent(drop, user="u", metadata={"a": "b"}, n=1, logit_bias=None, top_p=0.5)
    assert body == {"top_p": 0.5, "model": "m"}


@pytest.mark.parametrize("wanted", [{"n": 2}, {"seed": 7}, {"logit_bias": {"5": 1}}, {"logprobs": True}])
def test_drop_refuses_what_would_change_the_answer(wanted: dict[str, Any]) -> None:
    [name] = wanted
    with pytest.raises(MalformedRequest) as refused:
        sent(Drop(frozenset({"n", "seed", "logit_bias", "logprobs"})), **wanted)
    assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")


def test_drop_refuses_nothing_where_the_configuration_says_so() -> None:
    fields = decode_fields(b'{"seed":1,"top_p":0.5}')
    request = OpenAIChat(edits=(Drop(frozenset({"seed"})),)).request(asked(fields, drop_params=True))
    assert decode(request.body) == {"top_p": 0.5, "model": "m"}


@pytest.mark.parametrize(
    ("model", "dropped"), [("kimi-k2.5", True), ("Kimi-K2.5-preview", True), ("kimi-k2-turbo", False)]
)
def test_drop_goes_by_the_model(model: str, dropped: bool) -> None:
    body = sent(Drop(frozenset({"n"}), models=("kimi-k2.5*",)), model=model, n=1)
    assert ("n" not in body) is dropped


def test_drop_spares_models() -> None:
    drop = Drop(frozenset({"reasoning_effort"}), unless=("kimi-k3*",))
    assert "reasoning_effort" in sent(drop, model="kimi-k3", reasoning_effort="none")
    assert "reasoning_effort" not in sent(drop, model="kimi-k2", reasoning_effort="none")


def test_rename_sends_the_vendors_name() -> None:
    assert sent(Rename("max_tokens", "limit"), max_tokens=5) == {"limit": 5, "model": "m"}


def test_rename_spares_models() -> None:
    edit = Rename("max_tokens", "limit", unless=("deepseek*",))
    assert sent(edit, model="DeepSeek-R1", max_tokens=5) == {"max_tokens": 5, "model": "DeepSeek-R1"}


def test_what_other_vendors_models_said_is_left_out_of_messages() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    foreign: dict[str, Any] = {**said, "reasoning_content": "r", "reasoning_details": [{}], "reasoning": "r"}
    foreign["tool_calls"] = [{**call, "extra_content": {"google": {}}}]
    assert sent(OwnFields(), messages=[HELLO, foreign])["messages"] == [HELLO, said]


def test_a_message_about_reasoning_is_not_one_with_reasoning() -> None:
    written = b'[{"role":"user","content":"what is \\"reasoning_content\\"?"}]'
    request = OpenAIChat(edits=(OwnFields(),)).request(asked(decode_fields(b'{"messages":' + written + b"}")))
    assert written in request.body, "and it keeps its bytes"


def test_rename_yields_to_the_vendors_own_name() -> None:
    assert sent(Rename("max_tokens", "limit"), max_tokens=5, limit=9) == {"limit": 9, "model": "m"}


@pytest.mark.parametrize(
    ("asked", "got"), [(0, 0.01), (0.5, 0.5), (1, 1), (2, 1), (None, None), ("hot", "hot"), (True, True)]
)
def test_clamp_moves_a_number_to_the_nearer_bound(asked: Any, got: Any) -> None:
    assert sent(Clamp("temperature", 0.01, 1), temperature=asked)["temperature"] == got


def test_of_two_names_for_one_thing_the_first_is_kept() -> None:
    edit = OneOf(("max_completion_tokens", "max_tokens"))
    assert sent(edit, max_tokens=5, max_completion_tokens=7) == {"max_completion_tokens": 7, "model": "m"}
    assert sent(edit, max_tokens=5) == {"max_tokens": 5, "model": "m"}


@pytest.mark.parametrize(("asked", "got"), [("END", ["END"]), (["a", "b"], ["a", "b"]), (None, None)])
def test_a_single_value_is_sent_as_a_list(asked: Any, got: Any) -> None:
    assert sent(Listed("stop"), stop=asked)["stop"] == got


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_tool_choice_the_vendor_does_not_know_is_refused(choice: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        sent(ToolChoice(("auto",)), tools=[1], tool_choice=choice)
    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_or_left_to_the_vendor_where_the_configuration_says_so(choice: Any) -> None:
    fields = decode_fields(encode({"tools": [1], "tool_choice": choice}))
    request = OpenAIChat(edits=(ToolChoice(("auto",)),)).request(asked(fields, drop_params=True))
    assert decode(request.body) == {"tools": [1], "model": "m"}


def test_a_tool_choice_the_vendor_knows_is_sent() -> None:
    assert sent(ToolChoice(("auto",)), tools=[1], tool_choice="auto")["tool_choice"] == "auto"


def test_no_tools_is_said_by_offering_none() -> None:
    assert sent(ToolChoice(("auto",)), tools=[1], tool_choice="none") == {"model": "m"}


def test_set_yields_to_the_client() -> None:
    edit = Set("reasoning_split", value=True)
    assert sent(edit)["reasoning_split"] is True
    assert sent(edit, reasoning_split=False)["reasoning_split"] is False


def test_set_may_be_for_whole_answers_only() -> None:
    edit = Set("enable_thinking", value=False, whole_only=True)
    assert sent(edit)["enable_thinking"] is False
    streamed = OpenAIChat(edits=(edit,)).request(asked(decode_fields(b'{"stream": true }'), model="m", stream=True))
    assert "enable_thinking" not in decode(streamed.body)


def test_a_model_that_only_streams_is_asked_for_a_stream() -> None:
    body = sent(StreamOnly(("qwq*",)), model="qwq-plus")
    assert body == {"model": "qwq-plus", "stream": True, "stream_options": {"include_usage": True}}
    assert sent(StreamOnly(("qwq*",)), model="qwen-plus") == {"model": "qwen-plus"}


def test_the_model_may_be_sent_in_lower_case() -> None:
    assert sent(LowerCaseModel(), model="ERNIE-X1") == {"model": "ernie-x1"}


def test_effort_becomes_the_vendors_switch_under_the_clients_own() -> None:
    edit = Effort({"high": {"enable_thinking": True, "thinking_budget": 9}})
    assert sent(edit, reasoning_effort="high", thinking_budget=1) == {
        "enable_thinking": True,
        "thinking_budget": 1,
        "model": "m",
    }


@pytest.mark.parametrize("effort", ["enormous", None, 3])
def test_an_effort_without_a_meaning_is_left_out(effort: Any) -> None:
    assert sent(Effort({"high": {"a": 1}}), reasoning_effort=effort) == {"model": "m"}


def test_a_schema_goes_into_the_prompt() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = sent(SchemaToObject(), messages=[HELLO], response_format=wanted)
    assert body["response_format"] == {"type": "json_object"}
    system, hello = body["messages"]
    assert hello == HELLO
    assert system["role"] == "system"
    assert "JSON" in system["content"]
    assert '{"type":"object"}' in system["content"]


@pytest.mark.parametrize("wanted", [{"type": "json_object"}, {"type": "text"}, None, "json_schema"])
def test_other_formats_stay(wanted: Any) -> None:
    asked = {"messages": [HELLO], "response_format": wanted}
    assert sent(SchemaToObject(), **asked) == {**asked, "model": "m"}
