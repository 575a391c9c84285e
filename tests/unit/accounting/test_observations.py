from __future__ import annotations

import logging
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processor.accounting.lines import observation
from processor.accounting.observations import ObservationLog
from processor.domain import UsageSource


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "observed.jsonl"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(path: Path, clock: Clock) -> Iterator[ObservationLog]:
    log = ObservationLog(path, clock=clock)
    yield log
    log.close()


def test_a_line_is_there_when_the_call_returns_and_reads_back(log: ObservationLog, path: Path) -> None:
    log.write("r1", usage_source=UsageSource.PARTIAL, input_tokens=12, ttft_ms=3.5, response_model="深度")
    read = observation(path.read_bytes())
    assert read.request_id == "r1"
    assert read.facts == {"usage_source": "partial", "input_tokens": 12, "ttft_ms": 3.5, "response_model": "深度"}


def test_only_this_user_may_read_the_file(log: ObservationLog, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


def test_lines_of_several_writers_do_not_mix(path: Path) -> None:
    def write(writer: int) -> None:
        log = ObservationLog(path)
        for number in range(300):
            log.write(f"{writer}-{number}", response_model="m" * (number % 97))
        log.close()

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    ids = [observation(line).request_id for line in path.read_bytes().splitlines()]
    assert sorted(ids) == sorted(f"{writer}-{number}" for writer in range(4) for number in range(300))


@pytest.mark.parametrize("replaced", [False, True])
def test_after_a_rename_the_next_second_writes_to_a_new_file(
    log: ObservationLog, path: Path, clock: Clock, replaced: bool
) -> None:
    log.write("a")
    old = path.rename(path.with_name("old"))
    if replaced:
        path.touch()
    log.write("b")
    clock.now = 1.0
    log.write("c")
    assert [observation(line).request_id for line in old.read_bytes().splitlines()] == ["a", "b"]
    assert observation(path.read_bytes()).request_id == "c"


def test_a_line_that_cannot_be_written_breaks_nothing_and_is_counted_and_logged_once_a_minute(
    log: ObservationLog, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, limit[1]))
        with caplog.at_level(logging.ERROR):
            for clock.now in (0.0, 1.0, 59.0, 61.0):
                log.write("secret-id", input_tokens=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, previous)
    assert log.lost == 4
    assert len(caplog.records) == 2
    assert "secret-id" not in caplog.text
    log.write("r2")
    assert observation(path.read_bytes().splitlines()[-1]).request_id == "r2", "it is found behind the torn one"


def test_a_value_that_is_not_text_is_refused_quietly(log: ObservationLog, path: Path) -> None:
    log.write("r1", response_model="\ud800")
    assert log.lost == 1
    assert path.read_bytes() == b""


def test_the_file_is_made_anew_where_its_folder_vanished_for_a_while(
    log: ObservationLog, path: Path, clock: Clock
) -> None:
    folder = path.parent.rename(path.parent.with_name("away"))
    clock.now = 1.0
    log.write("a")
    assert log.lost == 1
    folder.rename(path.parent)
    clock.now = 2.0
    log.write("b")
    assert observation(path.read_bytes()).request_id == "b"
