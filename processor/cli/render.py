"""`render`: write Envoy's files."""

from __future__ import annotations

import argparse
from pathlib import Path

from processor import app
from processor.cli.arguments import add_state, state_of
from processor.cli.rendering import write_envoy_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, and where to write."""
    parser.add_argument(
        "config", metavar="FILE", type=Path, nargs="?", help="gateway.yaml (default: embedded defaults)"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="where envoy.yaml, clusters.yaml, routes.yaml go"
    )
    parser.add_argument(
        "--envoy", metavar="FILE", type=Path, help="the bootstrap to fill in (default: the gateway's own)"
    )
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    """Write the three files and name them."""
    setup = app.load(args.config, state_of(args))
    folder = args.out.resolve()
    write_envoy_files(setup, folder, template=args.envoy)
    for name in ("envoy.yaml", "clusters.yaml", "routes.yaml"):
        print(folder / name)
    return 0
