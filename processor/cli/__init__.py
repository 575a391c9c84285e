"""The commands: what each takes, and one line instead of a traceback for a mistake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from processor import __version__
from processor.errors import ConfigError

_COMMANDS = {
    "up": "run the gateway: Envoy and the processor as one pair",
    "serve": "run the processor alone, beside an Envoy of its own container",
    "check": "check a configuration, and what is rendered from it with Envoy itself",
    "render": "write Envoy's files",
    "usage": "print what was used",
    "keys": "make, list, revoke and rotate gateway keys",
    "explain": "print who would answer a request, and why",
    "vendors": "print what each vendor offers",
    "worker": "one processor process (started by up and serve)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    words = sys.argv[1:] if argv is None else argv
    args = _parser(words).parse_args(words)
    command = import_module(f"processor.cli.{args.command}")
    try:
        return int(command.run(args))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the command that is named is imported, for the others' sake and for speed."""
    named = next((word for word in words if word in _COMMANDS), None)
    parser = argparse.ArgumentParser(
        prog="python -m processor", description="An AI gateway: Envoy moves the bytes, this decides."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
        if name == named:
            import_module(f"processor.cli.{name}").add_arguments(command)
    return parser
