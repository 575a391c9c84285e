from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.observe_request import RequestObserver
from tests.support.pieces import bytewise, cut

LIMIT = 4 * 1024 * 1024


def asked(*pieces: bytes) -> tuple[str, bool, int]:
    watching = RequestObserver()
    for piece in pieces:
        watching.feed(piece)
    watching.close()
    return watching.model, watching.stream, watching.input_chars


def test_a_request_names_its_model() -> None:
    body = b'{"model":"m","stream":true,"messages":[{"content":"\xe6\x97\xa5"}]}'
    assert asked(body) == asked(*bytewise(body)) == ("m", True, len(body))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model":7,"stream":"true"}', b'{"model":"\xff"}', b"\xff", b"null"]
)
def test_a_request_that_names_none_is_measured_all_the_same(body: bytes) -> None:
    assert asked(body) == ("", False, len(body))


@pytest.mark.parametrize(
    "data",
    [
        b"iVBORw0KGgo" * 300,
        b"data:image/png;base64," + b"iVBORw0KGgo+/=" * 300,
        b"data:image/png;base64," + rb"iVBORw0KGgo\/" * 300,
        b"iVBORw0KGgo" * 300 + b"=",
        (b"A" * 76 + rb"\n") * 40,
        b"AbC-_" * 300,
    ],
    ids=["bare", "URL", "escaped slashes", "padded", "lines", "for URLs"],
)
def test_data_in_a_request_is_no_text(data: bytes) -> None:
    """An image of a megabyte would be estimated at a quarter of a million tokens."""
    head, tail = b'{"model":"m","messages":[{"image":"', b'","text":"What is this?"},{"image":"'
    body = head + data + tail + data + b'"}]}'
    found = asked(body)
    assert found == asked(*bytewise(body)) == ("m", False, len(head) + len(tail) + len(b'"}]}') - 2)


@pytest.mark.parametrize(
    "text",
    [
        "To be or not to be, that is the question. " * 90,
        "今天天气很好" * 300,
        "function(a,b){return(a.b)};" * 90,
        "x" * 500,
    ],
)
def test_a_long_text_counts_in_full(text: str) -> None:
    body = json.dumps({"model": "m", "input": text}, ensure_ascii=False).encode()
    assert asked(body) == ("m", False, len(body))


def test_it_does_not_matter_how_a_client_writes_its_characters() -> None:
    request = {"model": "m", "messages": [{"content": "今天天气很好" * 300}]}
    plain, escaped = json.dumps(request, ensure_ascii=False).encode(), json.dumps(request).encode()
    assert len(escaped) > len(plain)
    assert asked(escaped) == asked(plain)


def test_a_request_too_large_to_keep_is_measured_up_to_its_limit() -> None:
    text = b'{"model":"m","x":"' + b"a b " * (1024 * 1024)
    assert asked(text, text) == asked(*cut(text + text, list(range(0, 2 * len(text), 65521)))) == ("", False, LIMIT)
    image = b'{"model":"m","x":"' + b"a" * (5 * 1024 * 1024)
    assert asked(image, b'","text":"' + b"a b " * 9) == ("", False, len(b'{"model":"m","x":'))


def test_a_request_that_is_cut_is_measured_as_far_as_it_came() -> None:
    watching = RequestObserver()
    watching.feed(b'{"model":"m"')
    assert (watching.model, watching.input_chars) == ("", 12)


def test_closing_twice_changes_nothing() -> None:
    watching = RequestObserver()
    watching.feed(b'{"model":"m","stream":true}')
    watching.close()
    watching.close()
    assert (watching.model, watching.stream, watching.input_chars) == ("m", True, 27)


@given(pieces=st.lists(st.binary(max_size=40), max_size=5))
def test_nothing_is_ever_raised(pieces: list[bytes]) -> None:
    assert asked(*pieces)[2] <= sum(map(len, pieces))
