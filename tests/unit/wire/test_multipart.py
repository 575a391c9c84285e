from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import WireError
from processor.wire.multipart import PARTS_LIMIT, TEXT_LIMIT, FormFile, parse, write
from tests.support.forms import read_form

TYPE = "multipart/form-data; boundary=b"

_names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="\\%"), min_size=1, max_size=20
)
_texts = st.text(st.characters(codec="utf-8"))
_files = st.builds(
    FormFile,
    name=_names,
    filename=_names,
    content_type=st.sampled_from(["image/png", "application/octet-stream", "text/plain; charset=utf-8"]),
    body=st.binary() | st.sampled_from([b"\r\n", b"\r\n--", b"--form-", b"\r\n--form-0--\r\n"]),
)


def form(*parts: str) -> bytes:
    return "".join(f"--b\r\n{part}\r\n" for part in parts).encode() + b"--b--\r\n"


def part(disposition: str, body: str, *more: str) -> str:
    return "\r\n".join((f"Content-Disposition: form-data; {disposition}", *more, "", body))


@given(st.lists(st.tuples(_names, _texts), max_size=4), st.lists(_files, max_size=3), st.text(max_size=5))
def test_what_is_written_is_read_again(fields: list[tuple[str, str]], files: list[FormFile], seed: str) -> None:
    assert parse(*write(fields, files, seed=seed)) == (fields, files)


def test_another_parser_reads_what_is_written() -> None:
    picture = FormFile(name="image[]", filename="猫.png", content_type="image/png", body=b"\x89PNG\r\n\0")
    assert read_form(*write([("prompt", "a fox"), ("n", "1"), ("n", "2")], [picture], seed="r")) == {
        "prompt": "a fox",
        "n": ["1", "2"],
        "image[]": {"filename": "猫.png", "content_type": "image/png", "body": b"\x89PNG\r\n\0"},
    }


def test_a_form_of_httpx_is_read() -> None:
    files = [("image", ("a b.png", b"\x89\r\n--", "image/png")), ("mask", ("m.png", b"", "image/png"))]
    request = httpx.Request("POST", "http://gateway", data={"prompt": "ü\r\n", "tag": ["1", "2"]}, files=files)
    assert parse(request.headers["content-type"], request.read()) == (
        [("prompt", "ü\r\n"), ("tag", "1"), ("tag", "2")],
        [
            FormFile(name="image", filename="a b.png", content_type="image/png", body=b"\x89\r\n--"),
            FormFile(name="mask", filename="m.png", content_type="image/png", body=b""),
        ],
    )


def test_the_same_form_is_the_same_bytes_and_another_seed_another_boundary() -> None:
    fields = [("a", "1")]
    assert write(fields, [], seed="r") == write(fields, [], seed="r")
    assert write(fields, [], seed="r")[0] != write(fields, [], seed="s")[0]


def test_a_boundary_that_a_file_holds_is_not_used() -> None:
    guessed = write([], [], seed="r")[0].partition("boundary=")[2].encode()
    hostile = FormFile(name="f", filename="f", content_type="", body=b"\r\n--" + guessed + b"\r\n")
    content_type, body = write([("a", guessed.decode())], [hostile], seed="r")
    assert guessed.decode() not in content_type
    fields, files = parse(content_type, body)
    assert (fields, files[0].body) == ([("a", guessed.decode())], hostile.body)


def test_quotes_and_line_ends_in_names_do_not_break_out_of_their_header() -> None:
    name = 'a"; filename="x\r\nContent-Type: text/html'
    content_type, body = write([(name, "1")], [], seed="r")
    assert body.count(b"\r\n") == 5
    assert parse(content_type, body) == ([(name, "1")], [])


def test_a_file_without_a_type_or_a_name_is_sent_with_the_usual_ones() -> None:
    written = write([], [FormFile(name="file", filename="", content_type="", body=b"x")], seed="r")
    assert read_form(*written) == {
        "file": {"filename": "file", "content_type": "application/octet-stream", "body": "x"}
    }


@pytest.mark.parametrize("typed", ["text/plain; charset=utf-8", "application/json", "Text/Plain"])
def test_a_text_may_name_its_type(typed: str) -> None:
    assert parse(TYPE, form(part('name="a"', "1", f"Content-Type: {typed}"))) == ([("a", "1")], [])


def test_a_part_of_another_type_is_a_file_without_a_filename() -> None:
    files = parse(TYPE, form(part('name="a"', "1", "Content-Type: image/png")))[1]
    assert files == [FormFile(name="a", filename="", content_type="image/png", body=b"1")]


def test_an_empty_filename_is_a_files() -> None:
    assert parse(TYPE, form(part('name="a"; filename=""', "1")))[1] == [
        FormFile(name="a", filename="", content_type="", body=b"1")
    ]


def test_names_without_quotes_and_other_headers_are_read() -> None:
    body = form(part("name=file; filename=a.wav; filename*=utf-8''a.wav", "1", "Content-Length: 1", "X-Other: y"))
    assert parse(TYPE, body)[1] == [FormFile(name="file", filename="a.wav", content_type="", body=b"1")]


def test_a_form_without_parts_is_empty() -> None:
    assert parse(TYPE, b"--b--\r\n") == ([], [])


WHOLE = form(part('name="a"', "1"), part('name="f"; filename="f"', "22"))


@pytest.mark.parametrize("end", range(len(WHOLE) - 2))
def test_a_form_that_is_cut_is_refused(end: int) -> None:
    with pytest.raises(WireError):
        parse(TYPE, WHOLE[:end])


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=b"],
)
def test_a_content_type_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(WireError, match="boundary"):
        parse(content_type, WHOLE)


@pytest.mark.parametrize(
    "body",
    [
        b"not a form",
        form("X: y\r\n\r\nno disposition"),
        form("Content-Disposition: attachment; name=a\r\n\r\n1"),
        form(part("filename=a", "no name")),
        form(part('name="a"', "1", "Content-Length: 2")),
        form(part('name="f"; filename="f"', "1", "Content-Type: image/png\nX: y")),
        form(part('name="a"', "x")).replace(b"x", b"\xff"),
        form(part('name="' + "a" * 5000 + '"', "1")),
    ],
)
def test_a_broken_form_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        parse(TYPE, body)


def test_a_boundary_that_is_no_text_is_refused() -> None:
    with pytest.raises(WireError):
        parse('multipart/form-data; boundary="\udcff"', WHOLE)


def test_the_number_of_parts_is_bounded() -> None:
    parts = [part('name="a"', "1")] * PARTS_LIMIT
    assert len(parse(TYPE, form(*parts))[0]) == PARTS_LIMIT
    with pytest.raises(WireError, match="count"):
        parse(TYPE, form(*parts, parts[0]))


def test_the_length_of_a_text_is_bounded_and_that_of_a_file_is_not() -> None:
    long = "x" * (TEXT_LIMIT + 1)
    assert len(parse(TYPE, form(part('name="a"', long[1:])))[0][0][1]) == TEXT_LIMIT
    assert len(parse(TYPE, form(part('name="f"; filename="f"', long)))[1][0].body) == TEXT_LIMIT + 1
    with pytest.raises(WireError, match="more than"):
        parse(TYPE, form(part('name="a"', long)))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    for data in (body, b"--b\r\n" + body, b"--b\r\n" + body + b"\r\n--b--\r\n"):
        try:
            parse(TYPE, data)
        except WireError:
            continue
