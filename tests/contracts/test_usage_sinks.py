"""What every usage sink does, run against each of them."""

from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.adapters import jsonl_usage, sqlite_usage
from processor.domain import Mode, Operation, Usage, UsageRecord, UsageSource
from processor.errors import ConfigError
from processor.ports import REPLAY_LIMIT, Checkpoint, Position, SinkError, UsageSink


@dataclass(frozen=True)
class Adapter:
    name: str
    open: Callable[[Path], UsageSink]
    read: Callable[..., Iterator[UsageRecord]]


ADAPTERS = (
    Adapter(sqlite_usage.FILE_NAME, sqlite_usage.SqliteUsageSink, sqlite_usage.read_usage),
    Adapter(jsonl_usage.FILE_NAME, jsonl_usage.JsonlUsageSink, jsonl_usage.read_usage),
)


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    assert isinstance(request.param, Adapter)
    return request.param


@pytest.fixture
def path(tmp_path: Path, adapter: Adapter) -> Path:
    return tmp_path / adapter.name


def record(request_id: str = "r1", **changes: object) -> UsageRecord:
    fields: dict[str, object] = {"time": 1795438442.115587, "mode": Mode.OPENAI, "operation": Operation.CHAT}
    return UsageRecord(request_id=request_id, **{**fields, **changes})  # type: ignore[arg-type]


def reached(offset: int) -> Checkpoint:
    return Checkpoint(access=Position(7, offset, 123), observed=Position(2**63 - 1, 2 * offset, 2**32 - 1))


def ids(adapter: Adapter, path: Path) -> list[str]:
    return [kept.request_id for kept in adapter.read(path)]


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, previous)


def test_a_new_sink_is_empty_and_has_no_checkpoint(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    assert sink.checkpoint() == Checkpoint()
    sink.close()
    assert ids(adapter, path) == []


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_counts = st.integers(0, 2**53)
_seconds = st.floats(0, 2e9)
_records = st.builds(
    UsageRecord,
    request_id=_texts,
    time=_seconds,
    mode=st.sampled_from(Mode),
    operation=st.sampled_from(Operation),
    method=_texts,
    path=_texts,
    key=_texts,
    provider=_texts,
    request_model=_texts,
    response_model=_texts,
    attempts=_counts,
    status=_counts,
    error=_texts,
    response_flags=_texts,
    usage=st.builds(
        Usage,
        input_tokens=_counts,
        output_tokens=_counts,
        cached_input_tokens=_counts,
        reasoning_tokens=_counts,
        seconds=st.none() | _seconds,
    ),
    cache=_texts,
    usage_source=st.sampled_from(UsageSource),
    ttft_ms=st.none() | _seconds,
    duration_ms=_seconds,
    bytes_received=_counts,
    bytes_sent=_counts,
)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
@settings(deadline=None, max_examples=50)
@given(kept=_records)
def test_a_record_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, adapter: Adapter, kept: UsageRecord
) -> None:
    path = tmp_path_factory.mktemp("sink") / adapter.name
    sink = adapter.open(path)
    sink.write([kept], reached(1))
    sink.close()
    assert list(adapter.read(path)) == [kept]


def test_records_and_checkpoint_are_there_after_the_sink_is_opened_anew(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    sink.write([record("a"), record("b")], reached(10))
    sink.write([record("c")], reached(20))
    sink.close()
    again = adapter.open(path)
    assert again.checkpoint() == reached(20)
    again.close()
    assert ids(adapter, path) == ["a", "b", "c"]


def test_nothing_is_lost_without_closing(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    sink.write([record("a")], reached(10))
    again = adapter.open(path)
    assert again.checkpoint() == reached(10)
    assert ids(adapter, path) == ["a"]
    sink.close()
    again.close()


def test_a_checkpoint_may_come_without_records(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    sink.write([], reached(10))
    sink.close()
    assert adapter.open(path).checkpoint() == reached(10)
    assert ids(adapter, path) == []


def test_a_request_is_kept_once_and_its_first_record_stays(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    sink.write([record("a", status=200), record("a", status=500)], reached(10))
    sink.write([record("a", status=404), record("b")], reached(20))
    sink.close()
    again = adapter.open(path)
    again.write([record("b"), record("a", status=404), record("c")], reached(30))
    again.close()
    kept = list(adapter.read(path))
    assert [(made.request_id, made.status) for made in kept] == [("a", 200), ("b", 0), ("c", 0)]


def test_all_that_may_come_again_after_a_restart_is_known(adapter: Adapter, path: Path) -> None:
    names = [f"r{number}" for number in range(3 * REPLAY_LIMIT)]
    sink = adapter.open(path)
    sink.write([record(name) for name in names[: 2 * REPLAY_LIMIT]], reached(1))
    sink.write([record(name) for name in names[2 * REPLAY_LIMIT :]], reached(2))
    sink.close()
    again = adapter.open(path)
    again.write([record(name) for name in names[-2 * REPLAY_LIMIT :]], reached(3))
    again.close()
    assert len(ids(adapter, path)) == len(names)


def test_a_reader_sees_what_is_written_while_the_sink_is_open(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    for number in range(3):
        sink.write([record(f"r{number}")], reached(number))
        assert len(ids(adapter, path)) == number + 1
    sink.close()


def test_only_what_is_recent_enough_is_read(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    sink.write([record(f"r{time}", time=float(time)) for time in (1, 2, 3)], reached(1))
    sink.close()
    assert [kept.request_id for kept in adapter.read(path, since=2.0)] == ["r2", "r3"]


def test_on_a_full_disk_a_batch_is_refused_and_taken_once_when_there_is_room(adapter: Adapter, path: Path) -> None:
    sink = adapter.open(path)
    sink.write([record("a")], reached(10))
    batch = [record(f"r{number}", path="/" + "x" * 1000) for number in range(200)]
    full = max(file.stat().st_size for file in path.parent.iterdir()) + 5000
    for _ in range(2):
        with disk_full_at(full), pytest.raises(SinkError):
            sink.write(batch, reached(20))
        assert sink.checkpoint() == reached(10)
    sink.write(batch, reached(20))
    sink.close()
    assert adapter.open(path).checkpoint() == reached(20)
    assert ids(adapter, path) == ["a", *(made.request_id for made in batch)]


_WRITER = """
import itertools, sys
from pathlib import Path
from processor.adapters.jsonl_usage import JsonlUsageSink
from processor.adapters.sqlite_usage import SqliteUsageSink
from processor.domain import Mode, Operation, UsageRecord
from processor.ports import Checkpoint, Position

sink = (SqliteUsageSink if sys.argv[1].endswith(".db") else JsonlUsageSink)(Path(sys.argv[1]))
for batch in itertools.count(sink.checkpoint().access.offset + 1):
    names = [f"{batch}-{item}" for item in range(20)]
    records = [UsageRecord(request_id=name, time=1.0, mode=Mode.OPENAI, operation=Operation.CHAT) for name in names]
    sink.write(records, Checkpoint(access=Position(1, batch, 1)))
    print(batch, flush=True)
"""
"""Writes batch after batch, each with its number as the checkpoint, until it is killed."""


def test_a_process_killed_while_it_writes_leaves_whole_records_and_no_checkpoint_ahead_of_them(
    adapter: Adapter, path: Path
) -> None:
    for batches in (1, 7, 20):
        with subprocess.Popen((sys.executable, "-c", _WRITER, str(path)), stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(batches)]
            writer.kill()
        sink = adapter.open(path)
        done = sink.checkpoint().access.offset
        assert done >= said[-1]
        sink.write([record(f"{done + 1}-{item}") for item in range(20)], reached(done + 1))
        sink.close()
        kept = ids(adapter, path)
        assert len(kept) == len(set(kept))
        assert set(kept) == {f"{number}-{item}" for number in range(1, done + 2) for item in range(20)}


def test_a_file_that_is_something_else_is_refused_in_one_line(adapter: Adapter, path: Path) -> None:
    path.write_bytes(b"These are my shopping lists, not records.\n" * 100)
    with pytest.raises(ConfigError, match=adapter.name):
        list(adapter.read(path))


def test_a_folder_in_the_way_is_refused_in_one_line(adapter: Adapter, path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match=adapter.name):
        adapter.open(path)
    with pytest.raises(ConfigError, match=adapter.name):
        list(adapter.read(path))


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for use in (sqlite_usage.SqliteUsageSink, lambda path: list(sqlite_usage.read_usage(path))):
        with pytest.raises(ConfigError, match="newer gateway"):
            use(path)


def test_a_database_of_the_first_version_is_brought_up_to_date_and_keeps_its_records(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    sink = sqlite_usage.SqliteUsageSink(path)
    sink.write([record("old")], reached(1))
    sink.close()
    with sqlite3.connect(path) as db:  # as it was before failed attempts were recorded
        for column in (
            "failed_attempts",
            "team",
            "cost",
            "currency",
            "malformed_events",
            "rescued",
            "cache",
            "seconds",
        ):
            db.execute(f"ALTER TABLE usage DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(ConfigError, match="start the gateway on it once"):
        list(sqlite_usage.read_usage(path))
    sink = sqlite_usage.SqliteUsageSink(path)
    assert sink.checkpoint() == reached(1)
    sink.write([record("new", failed_attempts='[{"target":"a/b"}]')], reached(2))
    sink.close()
    kept = {found.request_id: found.failed_attempts for found in sqlite_usage.read_usage(path)}
    assert kept == {"old": "", "new": '[{"target":"a/b"}]'}


def test_a_locked_database_refuses_a_batch_after_its_timeout_and_takes_it_later(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    sink = sqlite_usage.SqliteUsageSink(path, busy_timeout=0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SinkError, match="locked"):
        sink.write([record("a")], reached(1))
    other.execute("ROLLBACK")
    other.close()
    sink.write([record("a")], reached(1))
    sink.close()
    assert [kept.request_id for kept in sqlite_usage.read_usage(path)] == ["a"]


def test_the_database_is_in_wal_mode_and_finds_times_by_an_index(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    sqlite_usage.SqliteUsageSink(path).close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM usage WHERE time >= 1").fetchall()
    assert "usage_time" in str(plan)
    db.close()


def test_a_line_that_was_being_written_is_cut_off_and_its_record_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    sink = jsonl_usage.JsonlUsageSink(path)
    sink.write([record("a")], reached(10))
    whole = path.read_bytes()
    sink.write([record("b")], reached(10))
    line = path.read_bytes()[len(whole) :]
    for cut in range(1, len(line)):
        path.write_bytes(whole + line[:cut])
        assert [kept.request_id for kept in jsonl_usage.read_usage(path)] == ["a"]
        again = jsonl_usage.JsonlUsageSink(path)
        again.write([record("b")], reached(20))
        assert [kept.request_id for kept in jsonl_usage.read_usage(path)] == ["a", "b"]


def test_a_file_of_records_may_be_moved_away_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    sink = jsonl_usage.JsonlUsageSink(path)
    sink.write([record("a")], reached(1))
    path.rename(tmp_path / "shipped")
    sink.write([record("a"), record("b")], reached(2))
    assert [kept.request_id for kept in jsonl_usage.read_usage(path)] == ["b"]


def test_a_broken_checkpoint_is_refused_rather_than_records_doubled(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    path.with_name("usage.jsonl.checkpoint").write_bytes(b"{}garbage")
    with pytest.raises(ConfigError, match=r"usage\.jsonl\.checkpoint"):
        jsonl_usage.JsonlUsageSink(path)


def test_a_line_that_is_no_record_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    jsonl_usage.JsonlUsageSink(path).write([record("a")], reached(1))
    with path.open("ab") as file:
        file.write(b'{"note": "mine"}\n')
    with pytest.raises(ConfigError, match=r"usage\.jsonl:2: "):
        list(jsonl_usage.read_usage(path))
