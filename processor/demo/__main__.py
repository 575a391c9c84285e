"""`python -m processor.demo --socket PATH | --port N`: serve the demo vendor until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from processor.demo.server import DELAY, serve
from processor.supervise.child import end_with_parent


def main() -> None:
    """Read the arguments and serve; ends with SIGTERM, SIGINT, or its parent."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="python -m processor.demo", description="The gateway's demo vendor.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, metavar="PATH", help="listen on a Unix socket")
    where.add_argument("--port", type=int, metavar="N", help="listen on 127.0.0.1; 0 picks a port and prints it")
    parser.add_argument(
        "--delay-ms",
        type=float,
        default=DELAY * 1000,
        metavar="MS",
        help="wait between the chunks of a stream (default %(default)g)",
    )
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.socket or arguments.port, delay=max(arguments.delay_ms, 0.0) / 1000))


async def _serve(at: Path | int, *, delay: float) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await serve(at, stop=stop, delay=delay, listening=_announce if isinstance(at, int) else None)


def _announce(url: str) -> None:
    sys.stdout.write(f"demo vendor on {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
