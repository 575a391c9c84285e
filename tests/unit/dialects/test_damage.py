"""Clients and vendors may send damaged bytes: they must not become the gateway's own failure."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import JSON_CONTENT
from processor.errors import MalformedRequest, UpstreamError, WireError
from processor.wire.json import JSONError, decode_fields, encode
from tests.support.asked import asked_by
from tests.support.golden import GoldenCase, golden_cases
from tests.support.translators import translator

CASES = golden_cases()

_VALUE = re.compile(rb'"[^"\\\n]*"|-?\d+|null|true|false|\[[^\[\]\n]*\]|\{[^{}\n]*\}')
_STRANGE = [
    *(b"null", b"true", b"-7", b"1.5", b"1e999", b"9" * 25, b'"s"', '"²"'.encode(), b'"\\ud800"', b'"\xff"'),
    *(b"[]", b"{}", b"[1]", b"[null]", b"[[]]", b'{"a":1}', b'{"message":"m"}', b'"[DONE]"', b"", b"\n\n", b"\r"),
]
_damage = st.lists(
    st.tuples(st.integers(min_value=0, max_value=1 << 16), st.sampled_from(_STRANGE)), min_size=1, max_size=3
)


def damaged(body: bytes, damage: list[tuple[int, bytes]]) -> bytes:
    """With values and names replaced by strange ones."""
    for place, strange in damage:
        if found := list(_VALUE.finditer(body)):
            value = found[place % len(found)]
            body = body[: value.start()] + strange + body[value.end() :]
    return body


@given(case=st.sampled_from(CASES), damage=_damage, include_usage=st.booleans())
@settings(max_examples=1500, deadline=None)
def test_a_damaged_answer_is_the_vendors_failure_or_none(
    case: GoldenCase, damage: list[tuple[int, bytes]], include_usage: bool
) -> None:
    body = damaged(case.answer.body, damage)
    failure: UpstreamError | None = None
    try:
        if case.streams:
            stream = translator(case).stream(replace(asked_by(case), include_usage=include_usage))
            stream.feed(body)
            stream.close()
        else:
            translator(case).response(body, asked_by(case))
    except (WireError, *JSONError):  # a framing that is broken, or no JSON: the exchange answers 502
        return
    except UpstreamError as error:
        failure = error
    assert failure is None or (400 <= failure.status < 600 and failure.message)


@given(case=st.sampled_from(CASES), damage=_damage)
@settings(max_examples=1500, deadline=None)
def test_a_damaged_request_is_the_clients_mistake_or_the_vendors_to_judge(
    case: GoldenCase, damage: list[tuple[int, bytes]]
) -> None:
    try:
        fields = decode_fields(damaged(encode(case.request), damage))
    except JSONError:
        return
    try:
        request = translator(case).request(replace(asked_by(case), fields=fields))
    except MalformedRequest:
        return
    if request.content_type == JSON_CONTENT and request.body:
        assert decode_fields(request.body)
