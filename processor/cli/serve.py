"""`serve`: the processor alone."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from processor import app
from processor.cli.arguments import add_config, add_state, state_of
from processor.cli.rendering import write_envoy_files
from processor.cli.running import admin_of, demo_vendor, recorder, workers
from processor.supervise.supervisor import Supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, and where it meets its Envoy."""
    add_config(parser)
    add_state(parser)
    parser.add_argument(
        "--envoy", metavar="FILE", type=Path, help="the bootstrap to fill in (default: the gateway's own)"
    )


def run(args: argparse.Namespace) -> int:
    """Render Envoy's files into the state folder, then serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    state = state_of(args)
    setup = app.load(args.config, state)
    write_envoy_files(setup, state.envoy, template=args.envoy)
    supervisor = Supervisor(
        children=[*demo_vendor(setup), *workers(setup, args.config)],
        recorder=recorder(setup, admin_of(setup)),
        drain=setup.config.drain,
    )
    asyncio.run(supervisor.run(lambda: logging.getLogger(__name__).info("Envoy's files are in %s", state.envoy)))
    return 0
