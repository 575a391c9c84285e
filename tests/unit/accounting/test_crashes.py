"""Requests, rotations, full disks and kills at every point, in any order: each request is recorded once, as it was."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import rmtree

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from processor.accounting.observations import ObservationLog
from processor.accounting.recorder import Recorder
from processor.adapters import jsonl_usage, sqlite_usage
from processor.domain import Operation, UsageRecord
from processor.ports import Checkpoint, SinkError, UsageSink
from tests.unit.accounting.logs import EnvoyLog, access

ROTATE_BYTES = 1500
"""A few requests."""


class Killed(BaseException):
    """The process is gone; nothing after this point ran."""


class Trouble:
    """What happens to the next write, and where in it."""

    def __init__(self) -> None:
        self.kind = ""

    def strike(self, *kinds: str) -> None:
        if self.kind in kinds:
            kind, self.kind = self.kind, ""
            raise SinkError(kind) if kind.startswith("full") else Killed


class TroubledSqlite(sqlite_usage.SqliteUsageSink):
    def __init__(self, path: Path, trouble: Trouble) -> None:
        super().__init__(path)
        self._trouble = trouble

    def write(self, records: Sequence[UsageRecord], checkpoint: Checkpoint) -> None:
        self._trouble.strike("killed before", "full before")
        if self._trouble.kind == "killed within":
            records = _Half(records, self._trouble)
        super().write(records, checkpoint)
        self._trouble.strike("killed within", "killed after", "full within")


class _Half(list[UsageRecord]):
    """A batch whose writer is killed behind its first half."""

    def __init__(self, records: Sequence[UsageRecord], trouble: Trouble) -> None:
        super().__init__(records)
        self._trouble = trouble

    def __iter__(self) -> Iterator[UsageRecord]:
        yield from self[: len(self) // 2]
        self._trouble.strike("killed within")
        raise AssertionError


class TroubledJsonl(jsonl_usage.JsonlUsageSink):
    def __init__(self, path: Path, trouble: Trouble) -> None:
        super().__init__(path)
        self._trouble = trouble

    def write(self, records: Sequence[UsageRecord], checkpoint: Checkpoint) -> None:
        self._trouble.strike("killed before", "full before")
        super().write(records, checkpoint)
        self._trouble.strike("killed after")

    def _append(self, lines: bytes) -> None:
        if self._trouble.kind in ("killed within", "full within"):
            super()._append(lines[: len(lines) * 2 // 3])
            if self._trouble.kind == "full within":
                self._trouble.kind = ""
                raise OSError(28, "no space left")
            self._trouble.strike("killed within")
        super()._append(lines)

    def _save(self, checkpoint: Checkpoint) -> None:
        self._trouble.strike("killed between")
        super()._save(checkpoint)


TROUBLES = ("killed before", "killed within", "killed between", "killed after", "full before", "full within")
OpenSink = Callable[[Path, Trouble], UsageSink]
ReadSink = Callable[[Path], Iterator[UsageRecord]]


class Accounting(RuleBasedStateMachine):
    """Envoy, two workers and a recorder, in one folder; the test knows what each request should come to."""

    open_sink: OpenSink
    read_sink: ReadSink

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="accounting-"))
        self.now = 1000.0
        self.expected: dict[str, int] = {}
        self.running: list[str] = []
        self.half = b""
        self.trouble = Trouble()
        self.envoy_is_asked = False
        self.envoy = EnvoyLog(self.folder / "access.jsonl")
        self.workers = [ObservationLog(self.folder / "observed.jsonl", clock=lambda: self.now) for _ in range(2)]
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.sink = type(self).open_sink(self.folder / "usage", self.trouble)
        self.recorder = Recorder(
            self.folder / "access.jsonl",
            self.folder / "observed.jsonl",
            self.sink,
            reopen=self.ask_envoy,
            rotate_bytes=ROTATE_BYTES,
            envoy_flush=1.0,
            operation_of=lambda method, path: Operation.CHAT,
        )

    def ask_envoy(self) -> None:
        self.envoy_is_asked = True

    def request(self, tokens: int) -> str:
        self.number += 1
        name = f"request-{self.number}"
        self.expected[name] = tokens
        return name

    def envoy_writes(self, line: bytes) -> None:
        """Envoy writes a line in one piece, or the second half of one later."""
        self.envoy.write(self.half + line)
        self.half = b""

    @rule(requests=st.integers(1, 4))
    def requests_end_with_their_count_in_envoys_line(self, requests: int) -> None:
        for _ in range(requests):
            name = self.request(tokens=self.number + 1)
            self.envoy_writes(access(name, gateway={"usage_source": "provider", "input_tokens": self.number}))

    @rule()
    def a_request_ends_that_nobody_counted(self) -> None:
        self.envoy_writes(access(self.request(tokens=0), route="passthrough.ali"))

    @rule()
    def a_request_without_an_id_ends(self) -> None:
        """Its name is the recorder's to choose; it counts by its path."""
        self.number += 1
        name = f"unnumbered-{self.number}"
        self.expected[name] = 0
        time = f"{1795438442 + self.number}.115587"
        self.envoy_writes(access(None, gateway=None, path=name, route="local.not_found", time=time))

    @rule(worker=st.integers(0, 1), observed_first=st.booleans())
    def an_observed_request_ends(self, worker: int, observed_first: bool) -> None:
        name = self.request(tokens=self.number + 1)
        line = access(name, route="passthrough.ali")
        if not observed_first:
            self.envoy_writes(line)
        self.workers[worker].write(name, usage_source="provider", input_tokens=self.number)
        if observed_first:
            self.envoy_writes(line)

    @rule(worker=st.integers(0, 1))
    def a_request_is_observed_that_goes_on(self, worker: int) -> None:
        name = self.request(tokens=self.number + 1)
        self.workers[worker].write(name, usage_source="partial", input_tokens=self.number)
        self.running.append(name)

    @precondition(lambda self: self.running)
    @rule()
    def it_ends(self) -> None:
        self.envoy_writes(access(self.running.pop(0), route="passthrough.ali"))

    @precondition(lambda self: not self.half)
    @rule()
    def envoy_writes_half_a_line(self) -> None:
        line = access(self.request(tokens=7), gateway={"usage_source": "provider", "input_tokens": 7})
        cut = len(line) // 2
        self.envoy.write(line[:cut])
        self.half = line[cut:]

    @precondition(lambda self: not self.half)
    @rule()
    def envoy_is_killed_in_a_line_and_started_again(self) -> None:
        self.envoy.write(access("never written to its end")[:100])
        self.envoy.reopen()
        self.envoy_is_asked = False

    @precondition(lambda self: self.envoy_is_asked)
    @rule()
    def envoy_opens_its_log_anew(self) -> None:
        self.envoy_writes(b"")
        self.envoy.reopen()
        self.envoy_is_asked = False

    @rule(worker=st.integers(0, 1))
    def a_worker_is_killed_and_started_again(self, worker: int) -> None:
        self.workers[worker].close()
        self.workers[worker] = ObservationLog(self.folder / "observed.jsonl", clock=lambda: self.now)

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0, 7.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_step(self) -> None:
        try:
            self.recorder.step(self.now)
        except Killed:
            self.begin_again()

    @rule(kind=st.sampled_from(TROUBLES))
    def trouble_comes(self, kind: str) -> None:
        self.trouble.kind = kind

    @rule()
    def the_recorder_is_killed(self) -> None:
        self.begin_again()

    @rule()
    def the_recorder_is_stopped_and_started(self) -> None:
        """Its workers have written all they know of what has ended."""
        self.trouble.kind = ""
        self.recorder.drain(self.now)
        self.begin_again()

    def begin_again(self) -> None:
        self.trouble.kind = ""
        self.recorder.close()
        self.begin()

    @invariant()
    def no_request_is_recorded_twice_or_wrong(self) -> None:
        if not hasattr(self, "expected"):
            return
        kept = self.kept()
        assert len(kept) == len({name for name, _ in kept})
        assert all(self.expected[name] == tokens for name, tokens in kept)

    def kept(self) -> list[tuple[str, int]]:
        records = type(self).read_sink(self.folder / "usage")
        return [
            (made.path if made.path.startswith("unnumbered") else made.request_id, made.usage.input_tokens)
            for made in records
        ]

    def teardown(self) -> None:
        if not hasattr(self, "expected"):
            return
        while self.running:
            self.it_ends()
        self.envoy_writes(b"")
        self.trouble.kind = ""
        for _ in range(12):
            self.recorder.step(self.now)
            if self.envoy_is_asked:
                self.envoy_opens_its_log_anew()
            self.now += 3
        self.recorder.drain(self.now)
        assert Counter(self.kept()) == Counter(self.expected.items())
        self.recorder.close()
        self.envoy.close()
        for worker in self.workers:
            worker.close()
        rmtree(self.folder)


@pytest.mark.parametrize(
    ("open_sink", "read_sink"),
    [(TroubledSqlite, sqlite_usage.read_usage), (TroubledJsonl, jsonl_usage.read_usage)],
    ids=["sqlite", "jsonl"],
)
def test_every_request_is_recorded_once_whatever_is_killed_and_when(open_sink: OpenSink, read_sink: ReadSink) -> None:
    machine = type(
        "Machine", (Accounting,), {"open_sink": staticmethod(open_sink), "read_sink": staticmethod(read_sink)}
    )
    examples = int(os.environ.get("CRASH_EXAMPLES", "40"))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
