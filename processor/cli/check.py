"""`check`: is a configuration good?"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from processor import app
from processor.cli.rendering import write_envoy_files
from processor.state import State
from processor.supervise import envoy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration to check."""
    parser.add_argument(
        "config", metavar="FILE", type=Path, nargs="?", help="gateway.yaml (default: embedded defaults)"
    )
    parser.add_argument("--envoy", metavar="FILE", type=Path, help="the bootstrap to check with it")


def run(args: argparse.Namespace) -> int:
    """Load it, render it, have Envoy validate it; nothing is kept."""
    with tempfile.TemporaryDirectory(prefix="gateway-check-") as folder:
        state = State(Path(folder))
        state.create()
        setup = app.load(args.config, state)
        write_envoy_files(setup, state.envoy, template=args.envoy)
        envoy.validate(state.envoy / "envoy.yaml")
    providers = sum(provider.enabled for provider in setup.topology.providers.values())
    print(
        f"{args.config or 'embedded defaults'}: good ({providers} providers, {len(setup.topology.models)} models,"
        f" {len(setup.config.keys)} keys)"
    )
    return 0
