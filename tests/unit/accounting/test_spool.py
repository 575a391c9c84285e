from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.accounting.spool import READ_BYTES, Mark, Spool
from processor.ports import Position
from tests.unit.accounting.logs import EnvoyLog

SETTLE = 5.0
BIG = 1 << 40
START = Position()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.jsonl"


@pytest.fixture
def rotated(path: Path) -> Path:
    return path.with_name("access.jsonl.1")


@pytest.fixture
def envoy(path: Path) -> Iterator[EnvoyLog]:
    log = EnvoyLog(path)
    yield log
    log.close()


def spool(path: Path, position: Position = START, *, rotate_bytes: int = BIG, reopen: EnvoyLog | None = None) -> Spool:
    return Spool(
        path, position, rotate_bytes=rotate_bytes, settle=SETTLE, reopen=reopen.reopen if reopen else lambda: None
    )


def take(reading: Spool, now: float = 0, limit: int = 4096) -> list[bytes]:
    return [line.data for line in reading.read(now, limit)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resumed(reading: Spool, path: Path) -> Spool:
    """A new spool where this one is."""
    position = reading.position(reading.end)
    reading.close()
    return spool(path, position)


def test_a_file_that_is_not_there_yet_has_no_lines_and_all_is_read(path: Path) -> None:
    reading = spool(path)
    assert take(reading) == []
    assert reading.caught_up
    path.write_bytes(b"a\n")
    assert take(reading) == [b"a"]


def test_only_complete_lines_are_given_each_once(envoy: EnvoyLog, path: Path) -> None:
    reading = spool(path)
    envoy.write(b"a\nb")
    assert take(reading) == [b"a"]
    assert take(reading) == []
    envoy.write(b"c\n")
    assert take(reading) == [b"bc"]


@settings(deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4), st.integers(1, 3))
def test_however_a_file_grows_and_however_often_reading_begins_anew_every_line_is_given_once(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[int], limit: int
) -> None:
    path = tmp_path_factory.mktemp("spool") / "log"
    reading, given_lines = spool(path), []
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    with path.open("ab", buffering=0) as file:
        for start, end in pairwise(edges):
            file.write(content[start:end])
            reading = resumed(reading, path)
            while lines := take(reading, limit=limit):
                assert len(lines) <= limit
                given_lines += lines
    reading.close()
    assert given_lines == content.split(b"\n")[:-1]


def test_marks_stand_where_lines_begin_and_positions_lead_back_there(envoy: EnvoyLog, path: Path) -> None:
    envoy.write(b"one\ntwo\nthree\n")
    reading = spool(path)
    lines = reading.read(0)
    assert [line.mark.offset for line in lines] == [0, 4, 8]
    assert reading.end.offset == 14
    again = spool(path, reading.position(lines[1].mark))
    assert take(again) == [b"two", b"three"]


def test_what_is_read_at_once_is_bounded_and_more_says_so(envoy: EnvoyLog, path: Path) -> None:
    envoy.write(b"x" * 99 + b"\n")
    for _ in range(READ_BYTES // 100):
        envoy.write(b"x" * 99 + b"\n")
    reading = spool(path)
    count = len(take(reading, limit=READ_BYTES))
    assert count == READ_BYTES // 100
    assert reading.more
    assert not reading.caught_up
    assert len(take(reading)) == 1
    assert reading.caught_up


def test_a_line_longer_than_any_of_ours_goes_by_in_pieces_and_the_next_is_read(envoy: EnvoyLog, path: Path) -> None:
    envoy.write(b"x" * (READ_BYTES + 10) + b"\nnext\n")
    reading = spool(path)
    assert [len(data) for data in take(reading)] == [READ_BYTES]
    assert take(reading) == [b"x" * 10, b"next"]


def test_a_large_file_is_renamed_when_it_is_read_and_deleted_when_it_is_released(
    envoy: EnvoyLog, path: Path, rotated: Path
) -> None:
    reading = spool(path, rotate_bytes=4, reopen=envoy)
    envoy.write(b"a\nb\n")
    assert take(reading, 0) == [b"a", b"b"]
    take(reading, 1)
    assert rotated.read_bytes() == b"a\nb\n"
    envoy.write(b"c\n")
    assert take(reading, 2) == [], "the old one has to settle"
    assert not reading.caught_up
    assert take(reading, 2 + SETTLE) == []
    assert take(reading, 2 + SETTLE) == [b"c"]
    assert reading.caught_up
    assert rotated.exists()
    reading.release(Mark(reading.end.file, 0))
    assert not rotated.exists()
    assert path.read_bytes() == b"c\n"


def test_a_file_is_not_renamed_before_all_of_it_is_read(envoy: EnvoyLog, path: Path, rotated: Path) -> None:
    reading = spool(path, rotate_bytes=4)
    envoy.write(b"a\nb\nc\nd\n")
    for _ in range(4):
        take(reading, limit=1)
        assert not rotated.exists()
    assert take(reading) == []
    assert rotated.exists()


def test_what_is_still_written_to_a_renamed_file_is_read_before_the_new_one(
    envoy: EnvoyLog, path: Path, rotated: Path
) -> None:
    other = EnvoyLog(path)
    reading = spool(path, rotate_bytes=1, reopen=envoy)
    envoy.write(b"a\n")
    take(reading, 0)
    take(reading, 0)
    envoy.write(b"new\n")
    take(reading, 1)
    other.write(b"late\n")
    assert take(reading, 4) == [b"late"]
    assert take(reading, 1 + SETTLE) == [], "it has grown meanwhile"
    other.write(b"torn")
    assert take(reading, 4 + SETTLE) == []
    assert take(reading, 20) == [b"torn"], "nobody will write the rest of it"
    assert take(reading, 20) == [b"new"]
    other.close()


def test_a_renamed_file_is_not_overwritten_before_it_is_released(envoy: EnvoyLog, path: Path, rotated: Path) -> None:
    reading = spool(path, rotate_bytes=1, reopen=envoy)
    for now in range(0, 30, 10):
        envoy.write(b"%d\n" % now)
        take(reading, now)
    unreleased = rotated.read_bytes()
    for now in range(30, 100, 10):
        envoy.write(b"%d\n" % now)
        take(reading, now)
    assert rotated.read_bytes() == unreleased
    reading.release(reading.end)
    for now in range(100, 130, 10):
        envoy.write(b"%d\n" % now)
        take(reading, now)
    assert rotated.read_bytes() not in (b"", unreleased)


def test_until_envoy_makes_a_new_file_it_is_asked_every_few_seconds_and_the_old_one_is_read_on(
    path: Path, rotated: Path
) -> None:
    asked: list[None] = []
    envoy = EnvoyLog(path)
    reading = Spool(path, Position(), rotate_bytes=1, settle=SETTLE, reopen=lambda: asked.append(None))
    envoy.write(b"a\n")
    take(reading, 0)
    for now in range(60):
        envoy.write(b"b\n")
        assert take(reading, now) == [b"b"]
    assert reading.caught_up
    assert 10 <= len(asked) <= 13
    assert rotated.exists()
    envoy.close()


@pytest.mark.parametrize("after", ["rename", "reopen", "settle", "release"])
def test_reading_begins_anew_at_any_point_of_a_rotation(envoy: EnvoyLog, path: Path, rotated: Path, after: str) -> None:
    reading = spool(path, rotate_bytes=1, reopen=envoy if after != "rename" else None)
    envoy.write(b"old\n")
    assert take(reading, 0) == [b"old"]
    position = reading.position(reading.end)
    take(reading, 0)
    envoy.write(b"new\n")
    if after in ("settle", "release"):
        take(reading, 1)
        take(reading, 10)
    if after == "release":
        reading.release(reading.end)
        assert not rotated.exists()
    reading.close()
    again = Spool(path, position, rotate_bytes=BIG, settle=SETTLE, reopen=envoy.reopen)
    rest = [data for now in (20, 30, 40, 40) for data in take(again, now)]
    assert rest == [b"new"]


def test_without_a_position_the_renamed_file_is_read_before_the_new_one(path: Path, rotated: Path) -> None:
    rotated.write_bytes(b"a\n")
    path.write_bytes(b"b\n")
    reading = spool(path)
    assert [data for now in (0, 1, 9, 9) for data in take(reading, now)] == [b"a", b"b"]


def test_a_renamed_file_that_is_already_recorded_is_not_read_again(path: Path, rotated: Path) -> None:
    path.write_bytes(b"b\n")
    reading = spool(path)
    take(reading)
    rotated.write_bytes(b"a\n")
    assert take(resumed(reading, path)) == []


def test_a_file_somebody_else_renamed_is_read_to_its_end(envoy: EnvoyLog, path: Path) -> None:
    reading = spool(path)
    envoy.write(b"a\n")
    take(reading, 0)
    path.rename(path.with_name("elsewhere"))
    envoy.write(b"b\n")
    assert take(reading, 1) == [b"b"]
    envoy.reopen()
    envoy.write(b"c\n")
    assert [data for now in (2, 3, 8, 8) for data in take(reading, now)] == [b"c"]
    reading.release(reading.end)
    assert path.with_name("elsewhere").exists()


def test_a_deleted_file_is_asked_for_again(envoy: EnvoyLog, path: Path) -> None:
    reading = spool(path, reopen=envoy)
    envoy.write(b"a\n")
    take(reading, 0)
    path.unlink()
    take(reading, 1)
    envoy.write(b"b\n")
    assert [data for now in (2, 10, 10) for data in take(reading, now)] == [b"b"]


@pytest.mark.parametrize("content", [b"", b"n\n", b"other\n", b"longer than before\n"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_truncated_file_is_read_from_its_start(path: Path, content: bytes, restart: bool) -> None:
    path.write_bytes(b"first\n")
    reading = spool(path)
    take(reading)
    path.write_bytes(content)
    if restart:
        reading = resumed(reading, path)
    assert take(reading) == content.split(b"\n")[:-1]


def test_another_file_with_the_inode_of_the_old_one_is_read_from_its_start(path: Path) -> None:
    path.write_bytes(b"first\n")
    reading = spool(path)
    take(reading)
    old = reading.position(reading.end)
    path.unlink()
    path.write_bytes(b"other, and longer\n")
    assert take(spool(path, Position(path.stat().st_ino, old.offset, old.head))) == [b"other, and longer"]


def test_a_copy_of_the_file_is_read_on_where_the_original_was(path: Path) -> None:
    path.write_bytes(b"first\n")
    reading = spool(path)
    take(reading)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes() + b"second\n")
    copy.replace(path)
    assert take(resumed(reading, path)) == [b"second"]


def test_a_file_that_cannot_be_renamed_is_read_on(path: Path, rotated: Path) -> None:
    path.write_bytes(b"a\n")
    reading = spool(path, rotate_bytes=1)
    assert take(reading, 0) == [b"a"]
    rotated.mkdir()
    take(reading, 1)
    with path.open("ab") as file:
        file.write(b"b\n")
    assert take(reading, 2) == [b"b"]
    assert path.exists()


def test_every_file_is_closed(envoy: EnvoyLog, path: Path) -> None:
    before = open_files()
    reading = spool(path, rotate_bytes=1, reopen=envoy)
    for now in range(0, 200, 10):
        envoy.write(b"a\n")
        take(reading, now)
        reading.release(reading.end)
    assert open_files() <= before + 2
    reading.close()
    assert open_files() == before
