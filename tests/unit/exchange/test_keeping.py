"""Which answers are kept, under which key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.domain import UsageSource
from processor.exchange.keeping import Copy
from processor.exchange.messages import Abort, Action, Begin, EndTrailers, Respond, Send
from processor.policy.answer_key import answer_key
from processor.wire.json import decode_fields, encode

JSON = (("content-type", "application/json"),)
COUNTED = {"usage_source": UsageSource.PROVIDER, "response_model": "a-1"}


def copied(*actions: Action) -> bytes | None:
    copy = Copy()
    answers = [copy.follow((action,), target="one/a", at=0.0) for action in actions]
    assert not any(answers[:-1])
    return answers[-1].body if answers[-1] else None


def test_a_whole_answer_in_pieces_is_copied() -> None:
    assert copied(Begin(JSON), Send(b"a"), Send(b"b"), Send(b"c", end_of_stream=True, facts=COUNTED)) == b"abc"
    assert copied(Begin(JSON, facts=COUNTED), Send(b"a", end_of_stream=True)) == b"a"
    assert copied(Begin(JSON), Send(b"a", facts=COUNTED), EndTrailers()) == b"a"


@pytest.mark.parametrize(
    "actions",
    [
        (Begin(JSON), Send(b"a", facts=COUNTED)),
        (Begin(JSON), Send(b"a", end_of_stream=True)),
        (Begin(JSON), Send(b"a", end_of_stream=True, facts={"usage_source": UsageSource.PARTIAL})),
        (Begin(JSON, facts={"error": "oops"}), Send(b"a", end_of_stream=True, facts=COUNTED)),
        (Begin(JSON), Send(b"a", end_of_stream=True, facts={**COUNTED, "rescued": 1})),
        (Begin(JSON), Send(b"a", end_of_stream=True, facts={**COUNTED, "malformed_events": 1})),
        (Begin(((":status", "400"), *JSON)), Send(b"a", end_of_stream=True, facts=COUNTED)),
        (Begin(()), Send(b"a", end_of_stream=True, facts=COUNTED)),
        (Begin(JSON), Send(bytes(5 * 1024 * 1024)), Send(b"a", end_of_stream=True, facts=COUNTED)),
        (Begin(JSON), Send(b"a", facts=COUNTED), Abort(), Send(b"", end_of_stream=True)),
        (Respond(400, b"a", JSON, COUNTED), Send(b"", end_of_stream=True)),
    ],
)
def test_nothing_else_is(actions: tuple[Action, ...]) -> None:
    assert copied(*actions) is None


def key(body: dict[str, Any], *, who: str = "key", targets: tuple[str, ...] = ("one/a",)) -> str:
    return answer_key((who, "chat"), targets, decode_fields(encode(body)))


_names = st.text(max_size=3)
_bodies = st.dictionaries(_names, st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2))


@given(_bodies, _bodies)
def test_two_questions_have_one_key_only_if_they_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (key(one) == key(other)) == (encode(dict(sorted(one.items()))) == encode(dict(sorted(other.items()))))


@given(st.lists(_names, max_size=3), st.lists(_names, max_size=3), st.lists(_names, max_size=3))
def test_who_asks_whom_never_runs_together(parts: list[str], targets: list[str], others: list[str]) -> None:
    parts, targets, others = ([name or "-" for name in names] for names in (parts, targets, others))
    assert (answer_key(parts, targets, {}) == answer_key(parts, others, {})) == (targets == others)


def test_what_no_answer_depends_on_is_left_out() -> None:
    assert key({"input": "a", "user": "u", "model": "m"}) == key({"input": "a", "user": "v", "model": "n"})
