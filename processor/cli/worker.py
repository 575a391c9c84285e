"""`worker`: one processor process."""

from __future__ import annotations

import argparse
import asyncio
import logging

from processor import app
from processor.cli.arguments import add_config, add_state, state_of
from processor.supervise.child import end_with_parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The same files as the process that starts it, and its number."""
    add_config(parser)
    add_state(parser)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(name)s: %(message)s")
    setup = app.load(args.config, state_of(args))
    _loop(setup, args.number)
    return 0


def _loop(setup: app.Setup, number: int) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(app.work(setup, number))
    else:
        uvloop.run(app.work(setup, number))
