"""`usage`: a table of what was used."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from processor.accounting.report import By, plain, summarize, table
from processor.adapters import jsonl_usage, sqlite_usage
from processor.cli.arguments import add_state, age
from processor.domain import UsageRecord
from processor.errors import ConfigError
from processor.wire.json import encode

_FILE_NAMES = (sqlite_usage.FILE_NAME, jsonl_usage.FILE_NAME)
_SQLITE = b"SQLite format 3\0"
"""What a database begins with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to group by, from when on, and where it was recorded."""
    groups = [str(by) for by in By]
    parser.add_argument("--by", choices=groups, default=str(By.MODEL), help="one line for each (default: model)")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=_since,
        default=0.0,
        help="an age such as 90m, 24h, 7d, or a date such as 2026-11-01 (default: all)",
    )
    add_state(parser)
    parser.add_argument(
        "--file", metavar="FILE", type=Path, help="the records, where usage.path has put them elsewhere"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the sums.

    Raises:
        ConfigError: nothing was ever recorded there, or it cannot be read.
    """
    report = summarize(_records(args), By(args.by), day=_local_day)
    if args.json:
        print(encode(plain(report)).decode())
    elif report.groups:
        print(table(report))
    else:
        print("No request was recorded" + (f" since {_local_minute(args.since)}." if args.since else " yet."))
    return 0


def _since(text: str) -> float:
    """An age or a local date as epoch seconds."""
    if (seconds := age(text)) is not None:
        return time.time() - seconds
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        expected = "expected an age such as 24h or a date such as 2026-11-01"
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {expected}") from None


def _records(args: argparse.Namespace) -> Iterator[UsageRecord]:
    path = args.file or _newest(args.state)
    try:
        with path.open("rb") as file:
            is_sqlite = file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise ConfigError(f"cannot read usage records from it: {error.strerror}", file=str(path)) from None
    read = sqlite_usage.read_usage if is_sqlite else jsonl_usage.read_usage
    return read(path, since=args.since)


def _newest(state: Path) -> Path:
    """The file records were last written to; changing the configured sink leaves the old one there."""
    found = [path for name in _FILE_NAMES if (path := state / name).exists()]
    if not found:
        raise ConfigError("no usage has been recorded there; is it the gateway's --state folder?", file=str(state))
    return max(found, key=_written)


def _written(path: Path) -> float:
    """When a sink was last written to: SQLite writes to its log first."""
    beside = path.with_name(path.name + "-wal")
    return max(file.stat().st_mtime for file in (path, beside) if file.exists())


def _local_day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))


def _local_minute(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
