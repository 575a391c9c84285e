"""`${NAME}` in any place of the file, and nothing but a value whatever the variable holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.config.source import Source, read
from processor.errors import ConfigError

ENVIRON = {"NAME": "value", "PORT": "8081", "EMPTY": ""}


def values(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> object:
    source = source_of(folder, text, environ)
    source.verdict()
    return source.values


def source_of(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Source:
    path = folder / "gateway.yaml"
    path.write_text(text, "utf-8")
    return read(path, environ)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${NAME}", "value"),
        ('a: "${NAME}"', "value"),
        ("a: '${NAME}'", "value"),
        ("{a: ${NAME}}", "value"),
        ("{a: ${NAME}, b: 1}", "value"),
        ("a: |-\n  ${NAME}\n", "value"),
        ("a: [${NAME}, ${NAME}]", ["value", "value"]),
        ("a: http://${NAME}:${PORT}/v1", "http://value:8081/v1"),
        ("a: ${NAME:-other}", "value"),
        ("a: ${NOBODY:-other}", "other"),
        ("a: ${EMPTY:-other}", "other"),
        ("{a: ${NOBODY:-one, two: # three}}", "one, two: # three"),
        ("a: ${NOBODY:-}", ""),
        ("a: $${NAME}", "${NAME}"),
        ("{a: $${NAME}}", "${NAME}"),
        ("a: $${NAME} and ${NAME}", "${NAME} and value"),
        ("a: $NAME", "$NAME"),
        ("a: 5$", "5$"),
    ],
)
def test_references_are_put_in(tmp_path: Path, text: str, expected: object) -> None:
    found = values(tmp_path, text)

    assert isinstance(found, dict)
    assert found["a"] == expected


@pytest.mark.parametrize("comment", ["# ${NOBODY}", "# ${", "# ${not a name}", "# $${"])
def test_comments_are_never_expanded(tmp_path: Path, comment: str) -> None:
    assert values(tmp_path, f"{comment}\na: 1  {comment}\n") == {"a": 1}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_stays_a_value_whatever_it_holds(tmp_path: Path, value: str) -> None:
    assert values(tmp_path, "{a: ${X}, b: [x${X}]}\n", {"X": value}) == {"a": value, "b": ["x" + value]}


@pytest.mark.parametrize(
    "value", ["b: {c: d}", "1\nadmin: true", "${NAME}", "file:/etc/passwd", "&a", "- x", "\ue0000\ue001"]
)
def test_a_value_is_not_read_again(tmp_path: Path, value: str) -> None:
    assert values(tmp_path, "a: ${X}\n", {"X": value}) == {"a": value}


def test_a_missing_variable_is_told_at_its_value(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a:\n  b:\n    - ok\n    - ${NOBODY}\n")

    with pytest.raises(ConfigError) as caught:
        source.verdict()
    assert str(caught.value).endswith("gateway.yaml:4: a.b[1]: the environment variable NOBODY is not set")


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    source = source_of(tmp_path, "# top\na:\n  b: 1\n  c:\n    - x: 1\n      y: 2\n    - z\nd:\n  e\n")

    assert source.lines == {
        (): 1,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 4,
        ("a", "c", 0): 5,
        ("a", "c", 0, "x"): 5,
        ("a", "c", 0, "y"): 6,
        ("a", "c", 1): 7,
        ("d",): 9,
    }
