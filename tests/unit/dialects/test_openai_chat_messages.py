from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.openai_chat_messages import (
    DEVELOPER_TO_SYSTEM,
    FILL_EMPTY_ASSISTANT,
    FLATTEN_TEXT,
    MERGE_NEIGHBOURS,
    SYSTEM_FIRST,
    Change,
    Messages,
)
from processor.errors import MalformedRequest
from processor.wire.json import Fields, decode, decode_fields
from tests.support.asked import asked

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
ALL = (DEVELOPER_TO_SYSTEM, SYSTEM_FIRST, MERGE_NEIGHBOURS, FILL_EMPTY_ASSISTANT, FLATTEN_TEXT)


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def fields_of(messages: object) -> Fields:
    return decode_fields(json.dumps({"messages": messages}).encode())


def edited(messages: object, *changes: Change) -> Any:
    fields = fields_of(messages)
    Messages(changes).apply(fields, asked())
    return decode(fields["messages"])


def test_a_developer_becomes_the_system() -> None:
    before = [said("developer", "a", name="x"), said("user", "developer")]
    assert edited(before, DEVELOPER_TO_SYSTEM) == [said("system", "a", name="x"), said("user", "developer")]


def test_system_messages_are_joined_at_the_front() -> None:
    before = [said("user", "a"), said("system", "b"), said("system", [{"type": "text", "text": "c"}, IMAGE])]
    assert edited(before, SYSTEM_FIRST) == [said("system", "b\n\nc"), said("user", "a")]


def test_a_system_message_at_the_front_keeps_its_form() -> None:
    before = [said("system", [{"type": "text", "text": "c"}], name="x"), said("user", "a")]
    assert edited(before, SYSTEM_FIRST) == before


def test_neighbours_of_one_role_become_one() -> None:
    before = [said("user", "a"), said("user", "b"), said("user", "c"), said("assistant", "d"), said("user", "e")]
    assert edited(before, MERGE_NEIGHBOURS) == [said("user", "a\n\nb\n\nc"), said("assistant", "d"), said("user", "e")]


def test_neighbours_that_hold_more_than_text_stay_apart() -> None:
    before = [
        said("user", "a"),
        said("user", [IMAGE]),
        said("user", "b"),
        said("user", "b", name="x"),
        said("assistant", None, tool_calls=[{"id": "1"}]),
        said("assistant", "c"),
        said("tool", "d", tool_call_id="1"),
        said("tool", "e", tool_call_id="2"),
        said("system", "f"),
        said("system", "g"),
    ]
    assert edited(before, MERGE_NEIGHBOURS) == before


def test_an_assistant_that_said_nothing_says_a_space() -> None:
    calls = [{"id": "1"}]
    before = [said("assistant", ""), said("assistant", "", tool_calls=calls), said("user", "")]
    after = [said("assistant", " "), said("assistant", None, tool_calls=calls), said("user", "")]
    assert edited(before, FILL_EMPTY_ASSISTANT) == after


def test_parts_that_are_all_text_become_a_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    before = [said("user", parts), said("user", [*parts, IMAGE]), said("user", "c")]
    assert edited(before, FLATTEN_TEXT) == [said("user", "a\nb"), said("user", [*parts, IMAGE]), said("user", "c")]


def test_a_later_change_sees_what_an_earlier_one_made() -> None:
    before = [said("user", "a"), said("developer", "b")]
    assert edited(before, DEVELOPER_TO_SYSTEM, SYSTEM_FIRST) == [said("system", "b"), said("user", "a")]


def test_messages_that_need_no_change_keep_their_bytes() -> None:
    image = b'{ "role" : "user", "content" : [ {"type":"image_url"} , {"note":"\\u65e5"} ] }'
    fields = decode_fields(b'{"messages":[' + image + b',{"role":"developer","content":"a"}]}')
    Messages((DEVELOPER_TO_SYSTEM,)).apply(fields, asked())
    assert bytes(fields["messages"]) == b"[" + image + b',{"role":"system","content":"a"}]'


def test_without_a_change_the_list_itself_keeps_its_bytes() -> None:
    fields = decode_fields(b'{"messages": [ {"role":"user"} , {"content":"x"} ] }')
    before = bytes(fields["messages"])
    Messages(ALL).apply(fields, asked())
    assert bytes(fields["messages"]) == before


@pytest.mark.parametrize("messages", ["hello", {"role": "user"}, ["hello"], [{"role": 3}], None])
def test_messages_that_are_no_messages_are_the_clients_mistake(messages: object) -> None:
    with pytest.raises(MalformedRequest) as refused:
        edited(messages, DEVELOPER_TO_SYSTEM)
    assert refused.value.param == "messages"


def test_a_request_without_messages_is_left_alone() -> None:
    fields: Fields = {}
    Messages(ALL).apply(fields, asked())
    assert fields == {}


_messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["developer", "system", "user", "assistant", "tool"])},
        optional={
            "content": st.none() | st.text(max_size=3) | st.just([IMAGE]) | st.just([{"type": "text", "text": "t"}]),
            "tool_calls": st.just([{"id": "1"}]),
        },
    ),
    max_size=7,
)


@given(messages=_messages, change=st.sampled_from(ALL))
def test_a_change_made_twice_is_the_change_made_once(messages: list[dict[str, Any]], change: Change) -> None:
    once = edited(messages, change)
    assert edited(once, change) == once
