from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.affinity import Source, affinity_key, prompt_prefix

_ALL = (Source.SESSION, Source.USER, Source.PROMPT)
_SYSTEM = {"role": "system", "content": 'You are "terse". \\ {[}]'}
_FIRST = {"role": "user", "content": [{"type": "text", "text": 'Is {"role":"user"} JSON? 你好'}]}
_texts = st.text(max_size=60)
_messages = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant", "system", "tool"]),
    _texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": _texts}), max_size=3),
)


def _raw(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _of(*messages: object) -> int | None:
    return affinity_key([Source.PROMPT], prompt=[_raw(list(messages))])


@given(system=_messages, first=_texts, later=st.lists(_messages, max_size=5))
def test_the_turns_of_a_conversation_belong_together(
    system: dict[str, object], first: str, later: list[dict[str, object]]
) -> None:
    opening = [system, {"role": "user", "content": first}]
    assert _of(*opening, *later) == _of(*opening)


@given(before=st.lists(_messages.filter(lambda message: message["role"] != "user"), max_size=4), first=_texts)
def test_the_prefix_ends_with_the_first_message_of_the_user(before: list[dict[str, object]], first: str) -> None:
    opening = _raw([*before, {"role": "user", "content": first}])
    assert prompt_prefix(_raw([*json.loads(opening), _FIRST])) == opening[:-1]


def test_what_the_user_first_says_tells_conversations_apart() -> None:
    assert _of(_SYSTEM, _FIRST) != _of(_SYSTEM, {"role": "user", "content": "Hello"})
    assert _of(_SYSTEM, _FIRST) != _of(_FIRST)


def test_what_a_text_says_about_roles_is_only_text() -> None:
    quoting = {"role": "system", "content": 'Begin with {"role": "user"}'}
    assert prompt_prefix(_raw([quoting, _SYSTEM, _FIRST, _SYSTEM])) == _raw([quoting, _SYSTEM, _FIRST])[:-1]


def test_only_the_beginning_of_a_long_prompt_is_looked_at() -> None:
    picture = {"role": "user", "content": "data:image/png;base64," + "A" * 10_000_000}
    prefix = prompt_prefix(_raw([picture]))
    assert len(prefix) == 16_384
    assert _of(picture) == _of(picture, _SYSTEM)


@given(text=st.binary(max_size=300))
def test_any_bytes_have_a_prefix(text: bytes) -> None:
    for part in (text, b"[" + text, b'[{"role":"user","content":"' + text):
        assert part.startswith(prompt_prefix(part))


def test_a_text_is_known_by_its_first_bytes() -> None:
    assert prompt_prefix(_raw("a" * 5000)) == b'"' + b"a" * 1023
    assert prompt_prefix(memoryview(_raw("Hi"))) == b'"Hi"'


def test_a_prompt_of_several_parts_is_all_of_them() -> None:
    system, messages = _raw("Be terse."), _raw([_FIRST])
    keys = {
        affinity_key([Source.PROMPT], prompt=parts)
        for parts in ([system, messages], [messages], [system], [system + messages], [messages, system])
    }
    assert len(keys) == 5


def test_parts_are_told_apart_by_where_they_end() -> None:
    one, other = ([b'"a"', b'"bc"'], [b'"a""', b'bc"'])
    assert affinity_key([Source.PROMPT], prompt=one) != affinity_key([Source.PROMPT], prompt=other)


def test_the_first_source_that_is_there_tells() -> None:
    prompt = [_raw([_FIRST])]
    whole = affinity_key(_ALL, session="s1", user=b'"u1"', prompt=prompt)
    assert whole == affinity_key([Source.SESSION], session="s1")
    assert affinity_key(_ALL, user=b'"u1"', prompt=prompt) == affinity_key([Source.USER], user=b'"u1"')
    assert affinity_key(_ALL, prompt=prompt) == affinity_key([Source.PROMPT], prompt=prompt)


@pytest.mark.parametrize("user", [b"", b"null", b'""', memoryview(b"null")])
@pytest.mark.parametrize("prompt", [(), (b"[]",), (b"", b"null")])
def test_a_request_with_none_of_them_belongs_nowhere(user: bytes | memoryview, prompt: tuple[bytes, ...]) -> None:
    assert affinity_key(_ALL, user=user, prompt=prompt) is None
    assert affinity_key([], session="s1") is None


def test_a_session_is_not_a_user_and_one_callers_not_anothers() -> None:
    assert affinity_key([Source.SESSION], session='"a"') != affinity_key([Source.USER], user=b'"a"')
    keys = {affinity_key([Source.SESSION], scope=scope, session="a") for scope in ("", "team-a", "team-b")}
    assert len(keys) == 3


@given(session=st.text())
def test_any_session_has_a_key_of_64_bits(session: str) -> None:
    key = affinity_key([Source.SESSION], session=session)
    assert (key is None) == (session in ("", "null", '""', "[]"))
    assert key is None or 0 <= key < 2**64


def test_a_name_that_is_no_unicode_has_a_key() -> None:
    assert affinity_key([Source.SESSION], session="\udce9") is not None


def test_every_process_finds_the_same_key() -> None:
    program = (
        "from processor.policy.affinity import *; print(affinity_key([Source.USER], scope='team', user=b'\"u1\"'))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(other.stdout) == affinity_key([Source.USER], scope="team", user=b'"u1"')
