"""The loop that turns what Envoy and the workers wrote into usage records in a sink."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from processor.accounting.join import GRACE, Joiner, OperationOf
from processor.accounting.lines import UnreadableLine, access_line, observation
from processor.accounting.spool import READ_LINES, Line, Mark, Spool
from processor.dialects.observe import operation_of
from processor.domain import UsageRecord
from processor.ports import Checkpoint, SinkError, UsageSink

log = logging.getLogger(__name__)

INTERVAL = 0.2
"""Seconds between two steps when there is no backlog."""
ROTATE_BYTES = 64 * 1024 * 1024
"""A log's size at which it is renamed, recorded to its end and deleted: some 100,000 requests."""
ENVOY_FLUSH = 10.0
"""Seconds Envoy may keep a line before it writes it (`--file-flush-interval-msec`; this is its default)."""
_SETTLE = 5.0
"""Seconds after which nobody writes to a renamed file any more: writers look for a new one each second."""
_SAVE_EVERY = 10.0
"""Seconds between two checkpoints that come without records, as after many health checks."""
_COMPLAIN_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class _Batch:
    """Records that are not in the sink yet, and how far both logs are recorded with them."""

    records: Sequence[UsageRecord]
    access: Mark
    observed: Mark


class Recorder:
    """Records each finished request once. To be used by one thread at a time, one a sink.

    Nothing it holds is needed after it was killed: the checkpoint in the sink stays behind every line whose
    record is not there, and a line that is read again makes the same record again, which the sink leaves out.
    """

    def __init__(
        self,
        access_log: Path,
        observed: Path,
        sink: UsageSink,
        *,
        reopen: Callable[[], object] = lambda: None,
        grace: float = GRACE,
        rotate_bytes: int = ROTATE_BYTES,
        envoy_flush: float = ENVOY_FLUSH,
        operation_of: OperationOf = operation_of,
    ) -> None:
        """Begin where the sink's checkpoint is.

        Args:
            access_log: Envoy's, one JSON line a finished request.
            observed: the workers' observation lines.
            sink: where records go; closed at the end of `run`.
            reopen: makes Envoy open its log anew; may block for seconds, may fail silently, is asked again.
            grace: seconds a finished request waits for an observation.
            rotate_bytes: size at which a log is renamed and, once recorded, deleted.
            envoy_flush: seconds Envoy may keep a line.
            operation_of: what a passthrough path asks for, of requests no worker saw.
        """
        self._sink = sink
        self._saved = sink.checkpoint()
        self._access = Spool(
            access_log,
            self._saved.access,
            rotate_bytes=rotate_bytes,
            settle=_SETTLE + envoy_flush,
            reopen=reopen,
        )
        self._observed = Spool(observed, self._saved.observed, rotate_bytes=rotate_bytes, settle=_SETTLE)
        self._joiner: Joiner[Mark] = Joiner(operation_of, grace=grace)
        self._batch: _Batch | None = None
        self._failing = False
        self._save_at = self._complain_at = float("-inf")
        self.unreadable = 0
        """Lines that were skipped because nobody can read them."""

    @property
    def dropped(self) -> int:
        """Observations that made no record: their request never finished, or their facts came too late."""
        return self._joiner.dropped + self._joiner.late

    @property
    def backlog(self) -> bool:
        """Whether the next step has work that is already there."""
        return not self._failing and ((self._access.more and self._joiner.room > 0) or self._observed.more)

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop`; then the rest, without grace: set it when Envoy and the workers have ended."""
        while not stop.is_set():
            await asyncio.to_thread(self.step, time.monotonic())
            if not self.backlog:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), INTERVAL)
        await asyncio.to_thread(self.drain, time.monotonic())
        self.close()

    def step(self, now: float, *, final: bool = False) -> int:
        """Read a bounded piece of what is there, join, write; how many records were written.

        A sink or a file that fails is reported once a minute; the same records are written by a later step.

        Args:
            now: seconds of a clock that does not go back.
            final: all writers have ended: nothing waits for observations any more.
        """
        try:
            if self._batch is None:
                self._batch = self._collect(now, final=final)
            recorded = self._save(self._batch, now, final=final)
        except (OSError, SinkError) as error:
            self._failing = True
            if now >= self._complain_at:
                self._complain_at = now + _COMPLAIN_EVERY
                log.error("usage is not being recorded, it will be when this is mended: %s", error)  # noqa: TRY400
            return 0
        self._failing = False
        return recorded

    def drain(self, now: float) -> None:
        """Record all there is. What a failing sink does not take is recorded after the next start."""
        self.step(now, final=True)  # a batch may be left from before
        while self.step(now, final=True) or self.backlog:
            pass

    def close(self) -> None:
        """Let go of files and sink."""
        self._access.close()
        self._observed.close()
        self._sink.close()

    def _collect(self, now: float, *, final: bool) -> _Batch:
        """Requests are read before observations: what was written before a request ended is then there too."""
        joiner = self._joiner
        room = joiner.room
        if room > 0:
            self._read_access(now, min(room, READ_LINES))
        ahead = joiner.crowded and self._access.more and room > 0
        if not ahead:
            self._read_observed(now)
        records = joiner.join(now, observed_all=self._observed.caught_up and not ahead, final=final)
        return _Batch(
            records,
            joiner.oldest_request or self._access.end,
            joiner.oldest_observation or self._observed.end,
        )

    def _read_access(self, now: float, limit: int) -> None:
        for line in self._access.read(now, limit):
            try:
                if finished := access_line(line.data, line.mark.offset):
                    self._joiner.finished(finished, line.mark, now)
            except UnreadableLine:
                self._skip(line, "access log")

    def _read_observed(self, now: float) -> None:
        for line in self._observed.read(now):
            try:
                self._joiner.observed(observation(line.data), line.mark, now)
            except UnreadableLine:
                self._skip(line, "observation log")

    def _save(self, batch: _Batch, now: float, *, final: bool) -> int:
        checkpoint = Checkpoint(
            access=self._access.position(batch.access), observed=self._observed.position(batch.observed)
        )
        due = checkpoint != self._saved and (final or now >= self._save_at)
        if batch.records or due:
            self._sink.write(batch.records, checkpoint)
            self._saved, self._save_at = checkpoint, now + _SAVE_EVERY
            self._access.release(batch.access)
            self._observed.release(batch.observed)
        self._batch = None
        return len(batch.records)

    def _skip(self, line: Line, name: str) -> None:
        """Count a line nobody can read; it may be half a request, so its content is not shown."""
        if not line.data:
            return
        if not self.unreadable:
            log.warning("skipped a line of the %s that is not JSON of its kind, at byte %d", name, line.mark.offset)
        self.unreadable += 1
