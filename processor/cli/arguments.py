"""Arguments that several commands take, in the same words."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from processor.state import State, default_folder

_AGE = re.compile(r"([0-9]{1,6})([mhdw])")
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


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


def age(text: str) -> float | None:
    """`90m`, `24h`, `30d` or `2w` in seconds; None for what is no age."""
    match = _AGE.fullmatch(text)
    return int(match[1]) * _SECONDS[match[2]] if match else None
