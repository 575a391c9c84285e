"""CPU time and memory of a process with all that it started, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc: identity (a pid alone may be taken again), descent, what it used."""

    pid: int
    started: int
    parent: int
    session: int
    cpu: float
    """Seconds, user and system."""
    rss: int
    """Bytes, shared pages counted in each process that maps them."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a tree of processes holds and has used so far."""

    processes: int
    cpu: float
    rss: int


def tree(root: int) -> list[Process]:
    """Every living process that `root` started, itself included, or that is in the session it leads."""
    everyone = [process for process in map(_read, _pids()) if process is not None]
    members = {process.pid for process in everyone if process.session == root} | {root}
    size = 0
    while len(members) > size:
        size = len(members)
        members |= {process.pid for process in everyone if process.parent in members}
    return [process for process in everyone if process.pid in members]


def footprint(root: int) -> Footprint:
    """The sums over the tree of `root`."""
    processes = tree(root)
    return Footprint(
        processes=len(processes),
        cpu=sum(process.cpu for process in processes),
        rss=sum(process.rss for process in processes),
    )


def alive(process: Process) -> bool:
    """Whether this very process still runs."""
    now = _read(process.pid)
    return now is not None and now.started == process.started


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # proc_pid_stat(5). The name, second, may hold blanks and brackets: count from behind its last bracket,
    # where the state is field 3.
    values = stat[stat.rindex(")") + 2 :].split()
    if values[0] in "ZX":
        return None
    return Process(
        pid=pid,
        parent=int(values[1]),
        session=int(values[3]),
        cpu=(int(values[11]) + int(values[12])) / _TICK,
        started=int(values[19]),
        rss=int(values[21]) * _PAGE,
    )
