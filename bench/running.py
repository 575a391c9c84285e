"""Start a program on a port, wait until it is ready, stop it with all that it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.procfs import Footprint, Process, alive, footprint, tree

READY_PATIENCE = 120.0
"""Seconds from start to ready; LiteLLM needs ten to thirty."""

STOP_PATIENCE = 10.0
"""Seconds from SIGTERM to SIGKILL."""

_POLL = 0.02
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class Unavailable(Exception):
    """A system that cannot be measured here; the text is what its row says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How a program is started. `env` comes on top of ours, which loses its proxies."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A program that has become ready."""

    process: subprocess.Popen[bytes]
    port: int
    cold_start: float
    """Seconds from the start of the process until it was ready."""

    def footprint(self) -> Footprint:
        """CPU and memory of its whole tree, now."""
        return footprint(self.process.pid)

    def stop(self) -> None:
        """End it and everything it started, kindly at first."""
        stop(self.process)


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(command: Command, *, port: int, ready: str, folder: Path) -> Running:
    """Start the program in a session of its own, with its log in `folder`; return it when `ready` answers 200.

    Raises Unavailable, with the log's last line, if it ends or is not ready in time.
    """
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment() | dict(command.env),
            start_new_session=True,
        )
    try:
        _await(lambda: _answers(port, ready), process, began)
    except BaseException as error:
        stop(process)
        if isinstance(error, Unavailable):
            raise Unavailable(f"{error}: {_last_line(log)}") from None
        raise
    return Running(process=process, port=port, cold_start=time.monotonic() - began)


def stop(process: subprocess.Popen[bytes], patience: float = STOP_PATIENCE) -> None:
    """Ask the program to end; after some patience kill whatever is left of its tree.

    Only the program itself is asked: a supervisor would take the end of its children for a crash.
    """
    members = tree(process.pid)
    if process.poll() is None:
        process.terminate()
    for pid in _await_end(process, members, patience):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    # Killed orphans are gone once the system has reaped them.
    _await_end(process, members, STOP_PATIENCE)


def _await_end(process: subprocess.Popen[bytes], members: list[Process], patience: float) -> set[int]:
    """Wait for the whole tree to end; return what has not."""
    deadline = time.monotonic() + patience
    while (left := _left(process, members)) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return left


def _left(process: subprocess.Popen[bytes], members: list[Process]) -> set[int]:
    """What still runs: of the tree as it was, and of the session, which outlives its leader."""
    process.poll()
    return {member.pid for member in (*filter(alive, members), *tree(process.pid))}


def _await(ready: Callable[[], bool], process: subprocess.Popen[bytes], began: float) -> None:
    while not ready():
        if process.poll() is not None:
            raise Unavailable(f"ended with {process.returncode} before it was ready")
        if time.monotonic() - began > READY_PATIENCE:
            raise Unavailable(f"not ready in {READY_PATIENCE:.0f} s")
        time.sleep(_POLL)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
