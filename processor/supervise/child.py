"""A process the supervisor keeps running."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 5.0
_STEADY = 10.0
"""Seconds after which a process counts as having started well, and its next restart is quick again."""
_PR_SET_PDEATHSIG = 1
_PARENT = "GATEWAY_PARENT"
"""The environment variable that tells a child its parent's process id."""

_EXEC = (
    "import ctypes,os,signal,sys;"
    "ctypes.CDLL(None).prctl(1,signal.SIGTERM) if sys.platform=='linux' else None;"
    "os.execv(sys.argv[1],sys.argv[1:])"
)
"""Ties a foreign program to its parent, then becomes it."""


def end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, however the parent went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if str(os.getppid()) != os.environ.get(_PARENT, str(os.getppid())):
            sys.exit(0)  # it went before the kernel knew


def tied_to_parent(command: Sequence[str]) -> tuple[str, ...]:
    """A command line that runs `command` so that it ends with its parent."""
    return (sys.executable, "-I", "-S", "-c", _EXEC, *command)


@dataclass(slots=True)
class Child:
    """One process: started, restarted when it dies, stopped."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    output: Path | None = None
    """Where its output goes; None: ours."""
    prepare: Callable[[], None] | None = None
    """What must be done, once, before it is first started; it may take a while."""
    restarts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _stopping: bool = False
    _wait: float = field(default=_FIRST_WAIT)

    @property
    def pid(self) -> int:
        """The process's id; 0 while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    async def keep(self) -> None:
        """Run until `stop`; restart at once, then more slowly if it keeps dying. Raises what `prepare` raises."""
        if self.prepare:
            await asyncio.to_thread(self.prepare)
        while not self._stopping:
            began = time.monotonic()
            code = await self._run()
            if self._stopping:
                return
            self._wait = _FIRST_WAIT if time.monotonic() - began > _STEADY else min(self._wait * 2, _LONGEST_WAIT)
            log.warning("%s ended (%s); starting it again in %.1f s", self.name, _reason(code), self._wait)
            self.restarts += 1
            await asyncio.sleep(self._wait)

    async def stop(self, *, within: float) -> None:
        """End it: SIGTERM, then after `within` seconds SIGKILL."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within)
        except TimeoutError:
            log.warning("%s did not stop in %.0f s; killing it", self.name, within)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run(self) -> int:
        with contextlib.ExitStack() as files:
            output = files.enter_context(self.output.open("ab")) if self.output else None
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                env={**self.environ, _PARENT: str(os.getpid())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which drains first
            )
        return await self._process.wait()


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
