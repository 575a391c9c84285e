"""Arguments that several commands take, in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path

from processor.state import State, default_folder


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`: optional, since everything has a default."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="gateway.yaml (default: embedded defaults)")


def add_state(parser: argparse.ArgumentParser) -> None:
    """`--state`: where the gateway keeps its files."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=default_folder(),
        help="usage records, rendered files, sockets (default: $GATEWAY_STATE or .gateway)",
    )


def state_of(args: argparse.Namespace) -> State:
    """The state folder named on the command line, made if it is not there."""
    state = State(args.state.resolve())
    state.create()
    return state
