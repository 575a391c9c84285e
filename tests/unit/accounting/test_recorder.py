from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from processor.accounting.join import Joiner
from processor.accounting.observations import ObservationLog
from processor.accounting.recorder import Recorder
from processor.accounting.spool import READ_LINES
from processor.adapters.sqlite_usage import SqliteUsageSink, read_usage
from processor.domain import Operation, UsageRecord, UsageSource
from processor.ports import REPLAY_LIMIT, Checkpoint, SinkError
from tests.support.gateway import until
from tests.unit.accounting.logs import PROVIDER_COUNT, EnvoyLog, access, observed


class MemorySink:
    """Keeps records in memory, and refuses while it is full."""

    def __init__(self) -> None:
        self.records: dict[str, UsageRecord] = {}
        self.writes = 0
        self.full = False
        self.closed = False
        self._checkpoint = Checkpoint()

    def write(self, records: Sequence[UsageRecord], checkpoint: Checkpoint) -> None:
        if self.full:
            raise SinkError("no space left")
        self.writes += 1
        for record in records:
            self.records.setdefault(record.request_id, record)
        self._checkpoint = checkpoint

    def checkpoint(self) -> Checkpoint:
        return self._checkpoint

    def close(self) -> None:
        self.closed = True


Start = Callable[..., Recorder]


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def start(tmp_path: Path, sink: MemorySink) -> Start:
    def start(**options: Any) -> Recorder:
        return Recorder(tmp_path / "access.jsonl", tmp_path / "observed.jsonl", sink, **options)

    return start


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[EnvoyLog]:
    log = EnvoyLog(tmp_path / "access.jsonl")
    yield log
    log.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[EnvoyLog]:
    log = EnvoyLog(tmp_path / "observed.jsonl")
    yield log
    log.close()


def counted(request_id: str) -> bytes:
    return access(request_id, gateway=PROVIDER_COUNT)


def test_a_passthrough_request_is_recorded_with_what_a_worker_saw(
    start: Start, sink: MemorySink, envoy: EnvoyLog, worker: EnvoyLog
) -> None:
    recorder = start()
    worker.write(observed("r1", operation="embeddings", usage_source="provider", input_tokens=7, ttft_ms=81.5))
    envoy.write(access("r1", route="passthrough.ali", path="/ali/compatible-mode/v1/embeddings"))
    assert recorder.step(0) == 1
    made = sink.records["r1"]
    assert (made.provider, made.operation, made.usage.input_tokens) == ("ali", Operation.EMBEDDINGS, 7)
    assert (made.usage_source, made.ttft_ms) == (UsageSource.PROVIDER, 81.5)


def test_a_passthrough_request_no_worker_saw_is_recorded_by_its_path(
    start: Start, sink: MemorySink, envoy: EnvoyLog
) -> None:
    recorder = start(operation_of=lambda method, path: Operation.RERANK if path == "/v2/rerank" else Operation.OTHER)
    envoy.write(access("r1", route="passthrough.ali", path="/v1/ali/v2/rerank"))
    assert recorder.step(0) == 0
    assert recorder.step(3) == 1
    assert (sink.records["r1"].operation, sink.records["r1"].usage_source) == (Operation.RERANK, UsageSource.NONE)


def test_a_step_without_news_writes_nothing(start: Start, sink: MemorySink, envoy: EnvoyLog) -> None:
    recorder = start()
    envoy.write(counted("r1"))
    recorder.step(0)
    for now in range(1, 100):
        recorder.step(now)
    assert sink.writes == 1


def test_health_checks_move_the_checkpoint_now_and_then(start: Start, sink: MemorySink, envoy: EnvoyLog) -> None:
    recorder = start()
    for now in range(100):
        envoy.write(access(f"r{now}", route="local.health"))
        recorder.step(now)
    assert sink.records == {}
    assert 9 <= sink.writes <= 11
    assert sink.checkpoint().access.offset > 80 * len(access("r10", route="local.health"))


def test_an_unreadable_line_is_skipped_counted_and_warned_of_once_without_its_content(
    start: Start, sink: MemorySink, envoy: EnvoyLog, worker: EnvoyLog, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = start()
    worker.write(b"secret\n")
    envoy.write(counted("r1") + b"secret\n\n" + counted("r2") + b'{"secret": 1}\n')
    recorder.step(0)
    assert list(sink.records) == ["r1", "r2"]
    assert recorder.unreadable == 3
    (warning,) = caplog.records
    assert f"at byte {len(counted('r1'))}" in warning.getMessage()
    assert "secret" not in caplog.text


def test_while_the_sink_fails_nothing_is_skipped_and_it_is_said_once_a_minute(
    start: Start, sink: MemorySink, envoy: EnvoyLog, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = start()
    sink.full = True
    for now in range(120):
        envoy.write(counted(f"r{now}"))
        assert recorder.step(now) == 0
    assert len([entry for entry in caplog.records if entry.levelno == logging.ERROR]) == 2
    assert "no space left" in caplog.text
    sink.full = False
    recorder.drain(120)
    assert list(sink.records) == [f"r{now}" for now in range(120)]


def test_draining_into_a_sink_that_fails_gives_up_however_much_is_left(
    start: Start, sink: MemorySink, envoy: EnvoyLog
) -> None:
    recorder = start()
    sink.full = True
    envoy.write(b"".join(counted(f"r{number}") for number in range(READ_LINES + 1)))
    recorder.drain(0)
    sink.full = False
    recorder.drain(0)
    assert len(sink.records) == READ_LINES + 1


def test_an_unreadable_log_is_reported_and_read_when_it_can_be(
    start: Start, sink: MemorySink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.jsonl"
    path.mkdir()
    recorder = start()
    files = len(list(Path("/proc/self/fd").iterdir()))
    for now in range(10):
        assert recorder.step(now) == 0
    recorder.drain(10)
    assert len(caplog.records) == 1
    assert "usage is not being recorded" in caplog.text
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    path.rmdir()
    path.write_bytes(counted("r1"))
    assert recorder.step(11) == 1


def test_a_backlog_is_read_in_bounded_steps(start: Start, sink: MemorySink, envoy: EnvoyLog) -> None:
    recorder = start()
    lines = 2 * READ_LINES + 10
    for number in range(lines):
        envoy.write(access(f"r{number}", gateway=PROVIDER_COUNT, details="", upstream="", path="", method=""))
    steps = 0
    while recorder.step(0):
        assert recorder.backlog == (len(sink.records) < lines)
        steps += 1
    assert len(sink.records) == lines
    assert steps > 2


def test_not_more_is_read_ahead_of_the_checkpoint_than_a_sink_can_recognise(
    start: Start, sink: MemorySink, envoy: EnvoyLog
) -> None:
    recorder = start()
    lines = REPLAY_LIMIT + 3 * READ_LINES
    envoy.write(access("waits") + b"".join(counted(f"r{number}") for number in range(lines)))
    while recorder.step(0) or recorder.backlog:
        pass
    assert len(sink.records) == REPLAY_LIMIT - 1
    while recorder.step(3) or recorder.backlog:
        pass
    assert len(sink.records) == lines + 1


def test_in_a_long_backlog_observations_are_not_read_so_far_ahead_that_some_must_be_dropped(
    start: Start, sink: MemorySink, envoy: EnvoyLog, worker: EnvoyLog
) -> None:
    requests = range(4 * READ_LINES)
    for number in requests:
        envoy.write(access(f"r{number}", route="passthrough.ali", path="/" + "x" * 1000))
    worker.write(b"".join(observed(f"r{number}", input_tokens=1) for number in requests))
    recorder = start()
    recorder._joiner = Joiner(lambda method, path: Operation.OTHER, orphans=10_000)
    recorder.drain(0)
    assert recorder.dropped == 0
    assert len(sink.records) == len(requests)
    assert all(record.usage.input_tokens == 1 for record in sink.records.values())


def test_late_and_orphaned_observations_are_counted(start: Start, envoy: EnvoyLog, worker: EnvoyLog) -> None:
    recorder = start()
    envoy.write(access("r1"))
    recorder.step(0)
    recorder.step(3)
    worker.write(observed("r1") + observed("never finished"))
    recorder.step(4)
    recorder.step(4000)
    assert recorder.dropped == 2


def test_both_logs_are_rotated_and_no_request_is_lost(
    tmp_path: Path, start: Start, sink: MemorySink, envoy: EnvoyLog
) -> None:
    clock = 0.0
    worker = ObservationLog(tmp_path / "observed.jsonl", clock=lambda: clock)
    recorder = start(rotate_bytes=2000, reopen=envoy.reopen)
    rotated = set()
    for number in range(300):
        clock = number * 0.5
        if number % 2:
            worker.write(f"r{number}", usage_source="provider", input_tokens=number)
        envoy.write(access(f"r{number}", route="passthrough.ali"))
        recorder.step(clock)
        rotated |= {file.name for file in tmp_path.glob("*.1")}
    recorder.drain(clock + 60)
    recorder.drain(clock + 120)
    worker.close()
    assert rotated == {"access.jsonl.1", "observed.jsonl.1"}
    expected = {f"r{number}": number if number % 2 else 0 for number in range(300)}
    assert {name: record.usage.input_tokens for name, record in sink.records.items()} == expected
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 30_000, "recorded files are deleted"


def test_what_a_worker_writes_in_the_second_before_it_sees_the_rotation_is_not_lost(
    tmp_path: Path, start: Start, sink: MemorySink, envoy: EnvoyLog
) -> None:
    clock = 0.0
    quick, slow = (ObservationLog(tmp_path / "observed.jsonl", clock=lambda: clock) for _ in range(2))
    recorder = start(rotate_bytes=500)
    clock = 1.0
    quick.write("r0", response_model="m" * 500)
    clock = 1.5
    slow.write("r1", input_tokens=1)
    recorder.step(clock)
    recorder.step(clock)
    renamed = tmp_path / "observed.jsonl.1"
    assert renamed.exists()
    clock = 2.0
    quick.write("r2", input_tokens=2)
    recorder.step(clock)
    clock = 2.4
    slow.write("r3", input_tokens=3)
    assert b"r3" in renamed.read_bytes()
    envoy.write(b"".join(access(f"r{number}") for number in range(4)))
    for now in range(3, 30):
        recorder.step(now)
    assert {name: record.usage.input_tokens for name, record in sink.records.items()} == {
        "r0": 0,
        "r1": 1,
        "r2": 2,
        "r3": 3,
    }
    assert not renamed.exists()
    quick.close()
    slow.close()


async def test_it_runs_until_stopped_and_then_records_the_rest_without_grace(tmp_path: Path, envoy: EnvoyLog) -> None:
    path = tmp_path / "usage.db"
    recorder = Recorder(tmp_path / "access.jsonl", tmp_path / "observed.jsonl", SqliteUsageSink(path))
    stop = asyncio.Event()
    running = asyncio.create_task(recorder.run(stop))
    envoy.write(counted("r1"))
    await until(lambda: list(read_usage(path)), what="the first record")
    envoy.write(access("r2") + counted("r3"))
    stop.set()
    await running
    assert {record.request_id for record in read_usage(path)} == {"r1", "r2", "r3"}


async def test_a_failing_sink_does_not_keep_it_from_stopping(start: Start, sink: MemorySink, envoy: EnvoyLog) -> None:
    sink.full = True
    recorder = start()
    envoy.write(counted("r1"))
    stop = asyncio.Event()
    stop.set()
    await recorder.run(stop)
    assert sink.closed
    assert sink.records == {}
    sink.full = False
    start().drain(0)
    assert list(sink.records) == ["r1"]
