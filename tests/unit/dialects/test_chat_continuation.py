"""What a client lacks of a second answer."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.chat_continuation import Continuation

DONE = "data: [DONE]\n\n"


def stream(*deltas: dict[str, Any], finish: str | None = "stop", name: str = "a") -> bytes:
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if finish:
        chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
    events = [{"id": name, "model": name, "created": 1, "choices": [chunk]} for chunk in chunks]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + (DONE.encode() if finish else b"")


def said(events: bytes, name: str = "content") -> str:
    lines = [line[6:] for line in events.decode().split("\n") if line.startswith("data: {")]
    return "".join(json.loads(line)["choices"][0]["delta"].get(name) or "" for line in lines)


def pieces(text: str, cuts: list[int]) -> list[dict[str, Any]]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [{"content": text[a:b]} for a, b in itertools.pairwise(places)]


@given(st.text(), st.integers(0, 50), st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_wherever_it_was_cut_first_and_rest_are_the_whole(
    text: str, end: int, cuts: list[int], other_cuts: list[int]
) -> None:
    begun, heard = text[:end], Continuation()
    first = stream({"role": "assistant", "content": ""}, *pieces(begun, cuts), finish=None)
    heard.heard(first)
    rest = heard.rest(stream({"role": "assistant"}, *pieces(text, other_cuts), name="b"))
    assert rest is not None
    assert begun + said(rest) == text
    assert rest.endswith(DONE.encode())
    assert b'"id":"b"' not in rest, "it goes on as the answer that was begun"


@given(st.text(min_size=1), st.text())
def test_what_does_not_begin_alike_is_not_the_rest(begun: str, other: str) -> None:
    heard = Continuation()
    heard.heard(stream({"content": begun}, finish=None))
    rest = heard.rest(stream({"content": other}))
    assert (rest is not None) == other.startswith(begun)


def test_thinking_has_to_be_the_same_as_well() -> None:
    heard = Continuation()
    heard.heard(stream({"reasoning_content": "Hm"}, {"content": "Yes"}, finish=None))
    rest = heard.rest(stream({"reasoning_content": "Hm"}, {"content": "Yes, of course"}))
    assert rest is not None
    assert (said(rest), said(rest, "reasoning_content")) == (", of course", "")
    assert heard.rest(stream({"reasoning_content": "Oh"}, {"content": "Yes, of course"})) is None


def test_calls_refusals_and_second_choices_are_not_gone_on_with() -> None:
    for delta in ({"tool_calls": [{"index": 0}]}, {"refusal": "No"}):
        heard = Continuation()
        heard.heard(stream({"content": "a"}, delta, finish=None))
        assert not heard.possible
        assert heard.rest(stream({"content": "ab"})) is None
