"""Keeps the processes of a gateway running, records usage beside them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from processor.accounting.recorder import Recorder
from processor.supervise.child import Child
from processor.supervise.envoy import Admin

log = logging.getLogger(__name__)

_POLL = 0.05
_STOP_WITHIN = 5.0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Envoy (where it is ours), the workers, the demo vendor, the usage recorder."""

    children: Sequence[Child]
    recorder: Recorder
    drain: float
    """Seconds that in-flight requests may take to finish when told to stop."""
    admin: Admin | None = None
    """None where Envoy runs elsewhere: then it drains itself."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, ready: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT; a second one cuts the drain short. `ready` is called when all are started."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self._signalled)
        recording_ends = asyncio.Event()
        recording = asyncio.create_task(self.recorder.run(recording_ends))
        keeping = [asyncio.create_task(child.keep()) for child in self.children]
        try:
            ready()
            await _first(self._stop.wait(), _any_failure([*keeping, recording]))
            await self._drain()
        finally:
            for child in self.children:
                await child.stop(within=_STOP_WITHIN)
            for task in keeping:
                task.cancel()
            results = await asyncio.gather(*keeping, return_exceptions=True)
            recording_ends.set()
            await recording
        for result in results:
            if isinstance(result, Exception):
                raise result

    def stop(self) -> None:
        """Begin to end, as a signal does."""
        self._stop.set()

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _drain(self) -> None:
        """Take no new connections, and let what is under way finish."""
        if self.admin is None:
            return
        await self.admin.post("/drain_listeners")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.drain):
                while (active := await self.admin.active_requests()) and not self._hurry.is_set():
                    log.info("waiting for %d requests to finish", active)
                    await _first(self._hurry.wait(), asyncio.sleep(_POLL))


async def _any_failure(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until keeping a process going has itself failed."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
