"""The tables of a benchmark, in plain aligned text."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.measure import (
    STREAM_MANY,
    STREAM_PACED,
    STREAM_SINGLE,
    WHOLE_MANY,
    WHOLE_SINGLE,
    Load,
    Measurement,
    Results,
    Settings,
)
from bench.procfs import Footprint
from bench.systems import BARE, DIRECT, PLAIN

Row = tuple[str, str]
"""System and use."""

WORDS = 2
"""Columns at the left of every table that hold words; numbers stand right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a system holds, before the first request and after the last."""

    name: str
    version: str
    cold_start: float
    idle: Footprint
    after: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A number for each row: the median over the rounds of something read from one load."""

    title: str
    load: Load
    read: Callable[[Measurement], float]
    digits: int
    added: bool = False
    """Less the same of bare Envoy in the same round."""


def _column(load: Load, title: str, name: str, digits: int, *, scale: float = 1.0) -> Column:
    return Column(title=title, load=load, read=lambda run: float(getattr(run, name)) * scale, digits=digits)


def _times(load: Load, p50: str, p99: str) -> list[Column]:
    plain = [_column(load, "p50", p50, 2), _column(load, "p99", p99, 2)]
    return plain + [
        Column(title=f"+{column.title}", load=load, read=column.read, digits=2, added=True) for column in plain
    ]


def _whole_groups(settings: Settings) -> list[tuple[str, list[Column]]]:
    return [
        ("1 connection, ms", _times(WHOLE_SINGLE, "p50", "p99")),
        (
            f"{settings.connections} connections, ms",
            [_column(WHOLE_MANY, "req/s", "per_second", 0), *_times(WHOLE_MANY, "p50", "p99")],
        ),
        ("CPU", [_column(WHOLE_MANY, "ms/req", "cpu", 3)]),
    ]


def _stream_groups(settings: Settings) -> list[tuple[str, list[Column]]]:
    chunks, many = settings.chunks, settings.connections
    wall = Column(
        title="+µs/chunk",
        load=STREAM_MANY,
        read=lambda run: 1e6 / run.per_second / chunks,
        digits=1,
        added=True,
    )
    return [
        ("1 stream: first chunk, ms", _times(STREAM_SINGLE, "first_p50", "first_p99")),
        (f"{many} paced: first chunk, ms", _times(STREAM_PACED, "first_p50", "first_p99")),
        ("CPU, paced", [_column(STREAM_PACED, "µs/chunk", "cpu", 1, scale=1e3 / chunks)]),
        (
            f"{many} flat out",
            [_column(STREAM_MANY, "chunks/s", "per_second", 0, scale=chunks), wall],
        ),
    ]


def render(
    settings: Settings, standings: Sequence[Standing], results: Results, absent: Sequence[tuple[str, str]]
) -> str:
    """The whole report."""
    rows = list(dict.fromkeys((system, use) for system, use, _ in results))
    parts = [
        machine(),
        bounds(settings),
        table([("", ["system", "version", "start s", "processes", "idle MiB", "after MiB"])], map(_stand, standings)),
        "Whole answers (1 KB)\n" + _results(rows, results, _whole_groups(settings)),
        f"Streams ({settings.chunks} chunks of 0.25 KB; paced: one every {settings.delay_ms:g} ms)\n"
        + _results(rows, results, _stream_groups(settings)),
    ]
    parts += [f"{name}: not measured: {reason}" for name, reason in absent]
    return "\n\n".join(parts)


def machine() -> str:
    """One line about where this ran."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {load}"
    )


def bounds(settings: Settings) -> str:
    """One line about what was run."""
    return (
        f"median of {settings.rounds} rounds, each run at most {settings.requests} requests "
        f"and {settings.seconds:g} s; + is over bare Envoy in the same round"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _stand(standing: Standing) -> list[str]:
    return [
        standing.name,
        standing.version,
        f"{standing.cold_start:.1f}",
        str(standing.idle.processes),
        f"{standing.idle.rss / 2**20:.0f}",
        f"{standing.after.rss / 2**20:.0f}",
    ]


def _results(rows: Iterable[Row], results: Results, groups: list[tuple[str, list[Column]]]) -> str:
    columns = [column for _, group in groups for column in group]
    loads = dict.fromkeys(column.load.name for column in columns)
    body = [[*row, *(_cell(row, results, column) for column in columns), _errors(row, results, loads)] for row in rows]
    head = [(title, [column.title for column in group]) for title, group in groups]
    return table([("", ["system", "way"]), *head, ("", ["errors"])], body)


def _cell(row: Row, results: Results, column: Column) -> str:
    runs = [column.read(run) for run in results[*row, column.load.name]]
    if column.added:
        if row[0] in {BARE, DIRECT} or (BARE, PLAIN.name, column.load.name) not in results:
            return ""
        bare = [column.read(run) for run in results[BARE, PLAIN.name, column.load.name]]
        runs = [ours - theirs for ours, theirs in zip(runs, bare, strict=True)]
    known = [value for value in runs if not math.isnan(value)]
    return f"{median(known):,.{column.digits}f}" if known else "-"


def _errors(row: Row, results: Results, loads: Iterable[str]) -> str:
    errors = sum((Counter(run.errors) for load in loads for run in results[*row, load]), Counter[str]())
    return ", ".join(f"{count} × {reason}" for reason, count in errors.items()) or "0"


def failures(results: Results, system: str) -> int:
    """Wrong answers of a system over all its runs."""
    return sum(sum(run.errors.values()) for key, runs in results.items() if key[0] == system for run in runs)


def table(groups: Sequence[tuple[str, Sequence[str]]], rows: Iterable[Sequence[str]]) -> str:
    """Align cells under their titles, words left, numbers right; a group's title stands above its columns."""
    titles = [title for _, group in groups for title in group]
    body = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *body, strict=True)]
    above, start = "", 0
    for name, group in groups:
        room = sum(widths[start : start + len(group)]) + 2 * (len(group) - 1)
        last = start + len(group) - 1
        widths[last] += max(0, len(name) - room)
        above += name.ljust(max(room, len(name)) + 2)
        start += len(group)
    lines = [above.rstrip()] if above.strip() else []
    lines += [_line(cells, widths) for cells in (titles, ["-" * width for width in widths], *body)]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.ljust(width) if index < WORDS else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()
