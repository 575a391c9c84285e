"""Usage records in a SQLite database: a record and its checkpoint are one transaction."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processor.domain import Mode, Operation, Usage, UsageRecord, UsageSource
from processor.errors import ConfigError
from processor.ports import Checkpoint, Position, SinkError

FILE_NAME = "usage.db"
"""In the state folder."""
SCHEMA_VERSION = 4
BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock; readers take none in WAL mode, but a backup or a clean-up may."""

_COLUMNS = {
    "request_id": "TEXT NOT NULL PRIMARY KEY",
    "time": "REAL NOT NULL",
    "mode": "TEXT NOT NULL",
    "operation": "TEXT NOT NULL",
    "method": "TEXT NOT NULL",
    "path": "TEXT NOT NULL",
    "key": "TEXT NOT NULL",
    "provider": "TEXT NOT NULL",
    "request_model": "TEXT NOT NULL",
    "response_model": "TEXT NOT NULL",
    "attempts": "INTEGER NOT NULL",
    "status": "INTEGER NOT NULL",
    "error": "TEXT NOT NULL",
    "response_flags": "TEXT NOT NULL",
    "input_tokens": "INTEGER NOT NULL",
    "output_tokens": "INTEGER NOT NULL",
    "cached_input_tokens": "INTEGER NOT NULL",
    "reasoning_tokens": "INTEGER NOT NULL",
    "usage_source": "TEXT NOT NULL",
    "ttft_ms": "REAL",
    "duration_ms": "REAL NOT NULL",
    "bytes_received": "INTEGER NOT NULL",
    "bytes_sent": "INTEGER NOT NULL",
    "failed_attempts": "TEXT NOT NULL DEFAULT ''",
    "team": "TEXT NOT NULL DEFAULT ''",
    "cost": "TEXT NOT NULL DEFAULT ''",
    "currency": "TEXT NOT NULL DEFAULT ''",
    "malformed_events": "INTEGER NOT NULL DEFAULT 0",
    "rescued": "INTEGER NOT NULL DEFAULT 0",
    "cache": "TEXT NOT NULL DEFAULT ''",
    "seconds": "REAL",
}
_COUNTS = frozenset({"input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "seconds"})
_ENUMS = frozenset({"mode", "operation", "usage_source"})

_SCHEMA = (
    f"CREATE TABLE usage ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})",
    "CREATE INDEX usage_time ON usage (time)",
    "CREATE TABLE checkpoint (log TEXT NOT NULL PRIMARY KEY, inode INTEGER, offset INTEGER, head INTEGER)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("ALTER TABLE usage ADD COLUMN failed_attempts TEXT NOT NULL DEFAULT ''", "PRAGMA user_version = 2"),
    (
        *(
            f"ALTER TABLE usage ADD COLUMN {name} {_COLUMNS[name]}"
            for name in ("team", "cost", "currency", "malformed_events", "rescued")
        ),
        "PRAGMA user_version = 3",
    ),
    (
        *(f"ALTER TABLE usage ADD COLUMN {name} {_COLUMNS[name]}" for name in ("cache", "seconds")),
        "PRAGMA user_version = 4",
    ),
)
"""From each version to the next."""
_VALUES = ", ".join("?" * len(_COLUMNS))
_INSERT = f"INSERT INTO usage VALUES ({_VALUES}) ON CONFLICT (request_id) DO NOTHING"  # noqa: S608 - only question marks
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM usage WHERE time >= ?"  # noqa: S608 - names from the table above
_CHECKPOINT = "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?)"


def _attribute(column: str) -> str:
    if column in _COUNTS:
        return f"usage.{column}"
    return f"{column}.value" if column in _ENUMS else column


_row = attrgetter(*map(_attribute, _COLUMNS))


class SqliteUsageSink:
    """A `UsageSink`. The request id is the primary key, so a record that comes again is left out."""

    def __init__(self, path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Open the database, or make it.

        Raises:
            ConfigError: the file is something else, or of a newer version.
        """
        try:
            self._db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
            self._prepare(path)
            self._checkpoint = self._load()
        except sqlite3.Error as error:
            raise ConfigError(f"cannot keep usage records in it: {error}", file=str(path)) from error

    def write(self, records: Sequence[UsageRecord], checkpoint: Checkpoint) -> None:
        """Keep records and checkpoint, or nothing."""
        logs = (("access", checkpoint.access), ("observed", checkpoint.observed))
        try:
            with self._transaction():
                self._db.executemany(_INSERT, map(_row, records))
                self._db.executemany(_CHECKPOINT, [(log, p.inode, p.offset, p.head) for log, p in logs])
        except sqlite3.Error as error:
            raise SinkError(f"SQLite: {error}") from error
        self._checkpoint = checkpoint

    def checkpoint(self) -> Checkpoint:
        """The last one kept."""
        return self._checkpoint

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may undo the last transactions, each with its checkpoint: they are read again.
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            version = _version(self._db, path)
            steps = (_SCHEMA,) if version == 0 else _MIGRATIONS[version:]
            for statement in chain.from_iterable(steps):
                self._db.execute(statement)

    def _load(self) -> Checkpoint:
        rows = self._db.execute("SELECT log, inode, offset, head FROM checkpoint")
        return Checkpoint(**{log: Position(inode, offset, head) for log, inode, offset, head in rows})

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                self._db.execute("ROLLBACK")
            raise


def read_usage(path: Path, *, since: float = 0.0) -> Iterator[UsageRecord]:
    """The records from a time (epoch seconds) on, in no order; a gateway may be writing meanwhile.

    Raises:
        ConfigError: the file is not a database of ours, or of a newer version.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)
        ) as db:
            version = _version(db, path)
            if 0 < version < SCHEMA_VERSION:
                raise ConfigError("is of an older version: start the gateway on it once", file=str(path))
            if version:
                yield from map(_record, db.execute(_SELECT, (since,)))
    except (sqlite3.Error, ValueError) as error:
        raise ConfigError(f"cannot read usage records from it: {error}", file=str(path)) from error


def _version(db: sqlite3.Connection, path: Path) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise ConfigError(f"was made by a newer gateway (version {version}, known: {SCHEMA_VERSION})", file=str(path))
    return version


def _record(row: tuple[Any, ...]) -> UsageRecord:
    values = dict(zip(_COLUMNS, row, strict=True))
    usage = Usage(**{name: values.pop(name) for name in _COUNTS})
    values["mode"] = Mode(values["mode"])
    values["operation"] = Operation(values["operation"])
    values["usage_source"] = UsageSource(values["usage_source"])
    return UsageRecord(usage=usage, **values)
