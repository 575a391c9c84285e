"""What is measured of one way through one system, and how a round of measurements is run."""

from __future__ import annotations

import asyncio
import gc
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench.load import Clients, Request, Result, post
from bench.running import Running
from bench.systems import Use
from bench.vendor import PACED

PROMPT = "Say in one paragraph what an external processor costs a request, and what it spares. " * 6
"""About half a kilobyte, as a question with a short system prompt has."""

WARM_UP = 1
"""Requests a connection sends before each run; they count for nothing."""

SETTLE_STEP = 0.05
SETTLE_STEPS = 40
"""Two seconds at most: LiteLLM goes on accounting for a while after its last answer. That work is its own, and must
not slow down whoever is measured next."""

_CLOCK_TICK = 0.01
"""What a process at rest may seem to have used: /proc counts in hundredths of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One kind of traffic."""

    name: str
    streamed: bool
    paced: bool = False
    single: bool = False
    """One connection instead of as many as the command line says."""


WHOLE_SINGLE = Load(name="whole answers, one at a time", streamed=False, single=True)
WHOLE_MANY = Load(name="whole answers, flat out", streamed=False)
STREAM_SINGLE = Load(name="streams, one at a time", streamed=True, single=True)
STREAM_PACED = Load(name="streams, paced", streamed=True, paced=True)
STREAM_MANY = Load(name="streams, flat out", streamed=True)

LOADS = (WHOLE_SINGLE, WHOLE_MANY, STREAM_SINGLE, STREAM_PACED, STREAM_MANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The bounds of a benchmark."""

    connections: int
    requests: int
    """At most, a run."""
    seconds: float
    """At most, a run."""
    rounds: int
    """Measured ones; one more is run before them and thrown away."""
    chunks: int
    delay_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One use of one running system: a row of the tables."""

    system: str
    use: Use
    running: Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run. Times are milliseconds, NaN where nothing was right."""

    requests: int
    per_second: float
    p50: float
    p99: float
    first_p50: float
    first_p99: float
    """To the first bytes of the body."""
    events: float
    """Server-sent events an answer, `[DONE]` and usage included."""
    frames: float
    """HTTP chunks an answer."""
    cpu: float
    """Of all the system's processes, a request."""
    errors: dict[str, int] = field(default_factory=dict)


Results = dict[tuple[str, str, str], list[Measurement]]
"""(system, use, load) to one measurement a round."""


async def measure_round(
    ways: Sequence[Way],
    settings: Settings,
    say: Callable[[str], None],
) -> dict[tuple[str, str, str], Measurement]:
    """Every load on every way, load by load, so that what is compared was run within seconds."""
    measured = {}
    for load in LOADS:
        for way in ways:
            say(f"{load.name}: {way.system}, {way.use.name}")
            measured[way.system, way.use.name, load.name] = await measure(way, load, settings)
    return measured


async def measure(way: Way, load: Load, settings: Settings) -> Measurement:
    """Run one load on one way."""
    request = build(way.use, load, settings)
    connections = 1 if load.single else settings.connections
    try:
        clients = await Clients.open(way.running.port, connections)
    except OSError as error:
        failed = Result()
        failed.errors[f"cannot connect: {error.strerror}"] += 1
        return summarise(failed, cpu=math.nan)
    try:
        await clients.run(request, count=WARM_UP * connections, seconds=settings.seconds)
        gc.collect()
        gc.disable()
        before = way.running.footprint().cpu
        result = await clients.run(request, count=settings.requests, seconds=settings.seconds)
        return summarise(result, cpu=await _settled(way.running) - before)
    finally:
        gc.enable()
        clients.close()


async def _settled(running: Running) -> float:
    """Seconds of CPU a system has used once it is at rest again."""
    used = running.footprint().cpu
    for _ in range(SETTLE_STEPS):
        await asyncio.sleep(SETTLE_STEP)
        before, used = used, running.footprint().cpu
        if used - before <= _CLOCK_TICK:
            break
    return used


def build(use: Use, load: Load, settings: Settings) -> Request:
    """The request of a load, in the words of a use."""
    body: dict[str, object] = {
        "model": use.model + (PACED if load.paced else ""),
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 0.2,
    }
    if not load.streamed:
        return post(use.path, json.dumps(body).encode(), use.headers, expect=b'"choices"')
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    # Every chunk has to arrive, the usage and [DONE] too.
    return post(use.path, json.dumps(body).encode(), use.headers, expect=b"[DONE]", events=settings.chunks + 2)


def summarise(result: Result, *, cpu: float) -> Measurement:
    """Boil a run down; `cpu` is in seconds."""
    count = result.requests
    latency, first = sorted(result.latency), sorted(result.first)
    return Measurement(
        requests=count,
        per_second=count / result.elapsed * 1e9 if count else math.nan,
        p50=percentile(latency, 50),
        p99=percentile(latency, 99),
        first_p50=percentile(first, 50),
        first_p99=percentile(first, 99),
        events=result.events / count if count else math.nan,
        frames=result.frames / count if count else math.nan,
        cpu=cpu / count * 1e3 if count else math.nan,
        errors=dict(result.errors),
    )


def percentile(ordered: Sequence[int], percent: int) -> float:
    """Nearest rank, from ordered nanoseconds to milliseconds."""
    if not ordered:
        return math.nan
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[rank - 1] / 1e6


def gather(rounds: Iterable[dict[tuple[str, str, str], Measurement]]) -> Results:
    """Turn rounds into one list for each way and load."""
    results: Results = {}
    for measured in rounds:
        for key, measurement in measured.items():
            results.setdefault(key, []).append(measurement)
    return results
