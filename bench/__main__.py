"""`python -m bench`: measure every system in turn, round after round, and print the tables."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.measure import Results, Settings, Way, gather, measure_round
from bench.procfs import Footprint
from bench.report import Standing, failures, machine, render
from bench.running import Running, Unavailable, free_port, start
from bench.systems import BARE, DIRECT, OURS, PLAIN, Site, System, systems, vendor_command
from bench.translation import measure, report

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".bench"
"""Where peers are installed; ignored by git."""


@dataclass(frozen=True, slots=True)
class Started:
    """A system that runs, and what it held before its first request."""

    system: System
    running: Running
    idle: Footprint


def say(text: str) -> None:
    """Progress, on the standard error."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark; the exit status is 1 if bare Envoy or this gateway could not be measured cleanly."""
    args = _arguments()
    translation = report(measure(rounds=20 if args.quick else 100))
    if args.translation:
        print(translation)
        return 0
    settings = Settings(
        connections=args.connections,
        requests=args.requests,
        seconds=0.5 if args.quick else 2.0,
        rounds=3 if args.quick else 5,
        chunks=args.chunks,
        delay_ms=args.delay_ms,
    )
    # The `with` blocks have to run however this ends, or programs stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    absent: list[tuple[str, str]] = []
    with ExitStack() as running:
        folder = args.logs or Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        vendor, started = _start(folder, settings, running, absent, peers=not args.no_peers)
        results = _measure(vendor, started, settings)
        standings = [_standing(one) for one in started]
    print(render(settings, standings, results, absent), translation, sep="\n\n")
    if args.json:
        _save(args.json, settings, standings, results, absent)
    missing = {name for name, _ in absent} & {BARE, OURS}
    return 1 if missing or failures(results, BARE) or failures(results, OURS) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.5 s a run instead of 5 of 2 s")
    parser.add_argument("--no-peers", action="store_true", help="leave LiteLLM and Portkey out")
    parser.add_argument("--translation", action="store_true", help="only what translating a streamed chunk costs")
    parser.add_argument("--requests", type=int, default=50_000, help="at most, a run (default 50000)")
    parser.add_argument("--connections", type=int, default=16, help="under load (default 16)")
    parser.add_argument("--chunks", type=int, default=100, help="a stream (default 100)")
    parser.add_argument("--delay-ms", type=float, default=2.0, help="between paced chunks (default 2)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the systems' files there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there too")
    return parser.parse_args()


def _start(
    folder: Path, settings: Settings, stack: ExitStack, absent: list[tuple[str, str]], *, peers: bool
) -> tuple[Running, list[Started]]:
    """Start the vendor and every system that can be; those that cannot go to `absent` with the reason."""
    port = free_port()
    (folder / "vendor").mkdir(parents=True, exist_ok=True)
    command = vendor_command(port, chunks=settings.chunks, delay_ms=settings.delay_ms)
    vendor = start(command, port=port, ready="/", folder=folder / "vendor")
    stack.callback(vendor.stop)
    started = []
    for system in systems(f"http://127.0.0.1:{port}"):
        if system.install is not None and not peers:
            continue
        try:
            one = _start_system(system, folder, port)
        except Unavailable as error:
            say(f"{system.name}: {error}")
            absent.append((system.name, str(error)))
            continue
        stack.callback(one.running.stop)
        started.append(one)
    return vendor, started


def _start_system(system: System, folder: Path, vendor_port: int) -> Started:
    if system.install is not None:
        CACHE.mkdir(exist_ok=True)
        system.install(CACHE)
    own = folder / system.name.replace(" ", "-")
    own.mkdir(exist_ok=True)
    site = Site(
        port=free_port(),
        vendor=f"http://127.0.0.1:{vendor_port}",
        vendor_port=vendor_port,
        folder=own,
        cache=CACHE,
    )
    say(f"starting {system.name} {system.version}")
    running = start(system.command(site), port=site.port, ready=system.ready, folder=own)
    return Started(system, running, running.footprint())


def _measure(vendor: Running, started: list[Started], settings: Settings) -> Results:
    ways = [Way(system=DIRECT, use=PLAIN, running=vendor)]
    ways += [Way(system=s.system.name, use=use, running=s.running) for s in started for use in s.system.uses]
    rounds = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for number in range(settings.rounds + 1):
            name = f"round {number}/{settings.rounds}" if number else "warm-up round"

            def tell(text: str, name: str = name) -> None:
                say(f"{name}: {text}")

            measured = runner.run(measure_round(ways, settings, tell))
            if number:
                rounds.append(measured)
    return gather(rounds)


def _standing(started: Started) -> Standing:
    return Standing(
        name=started.system.name,
        version=started.system.version,
        cold_start=started.running.cold_start,
        idle=started.idle,
        after=started.running.footprint(),
    )


def _save(
    path: Path,
    settings: Settings,
    standings: list[Standing],
    results: Results,
    absent: list[tuple[str, str]],
) -> None:
    document = {
        "machine": machine(),
        "settings": asdict(settings),
        "systems": [asdict(standing) for standing in standings],
        "runs": [
            {"system": system, "use": use, "load": load, "round": number, **_finite(asdict(run))}
            for (system, use, load), runs in results.items()
            for number, run in enumerate(runs, 1)
        ],
        "absent": [{"system": name, "reason": reason} for name, reason in absent],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _finite(run: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in run.items()}


if __name__ == "__main__":
    sys.exit(main())
