"""Reads the values of one mapping by name and kind; whatever is left over or wrong is named exactly."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from processor.config.source import Place, Source

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)(?:\s*(KiB|MiB|GiB))?")
_BYTES = {None: 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_FILE = "file:"


class Fields:
    """One mapping of a file."""

    def __init__(self, source: Source, place: Place, known: tuple[str, ...]) -> None:
        self.source = source
        self.place = place
        self._values = _at(source, place)
        if self._values is None:
            self._values = {}
        if not isinstance(self._values, Mapping):
            source.fail(place, f"expected a mapping, got {_named(self._values)}")
        for name in self._values:
            if name not in known:
                source.fail((*place, name), _unknown(name, known))

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def fail(self, name: str, message: str) -> NoReturn:
        """Raise the ConfigError for a mistake at a name."""
        self.source.fail((*self.place, name), message)

    def string(self, name: str) -> str | None:
        """A text that is not empty."""
        value = self._values.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            self.fail(name, f"expected a text, got {_named(value)}")
        return None if value is None else str(value)

    def required(self, name: str) -> str:
        """A text that must be there."""
        value = self.string(name)
        if value is None:
            self.source.fail(self.place, f"`{name}` is missing")
        return value

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, str) and (*self.place, name) in self.source.referenced and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(name, f"expected a whole number, got {_named(value)}")
        if not least <= value <= most:
            self.fail(name, f"expected {least} to {most}, got {value}")
        return int(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(name, f"expected true or false, got {_named(value)}")
        return bool(value)

    def duration(self, name: str) -> float | None:
        """A time such as 8s, 500ms or 2m, in seconds."""
        value = self._values.get(name)
        if value is None:
            return None
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or not float(match[1]):
            self.fail(name, f"expected a time such as 8s, 500ms or 2m, got {_named(value)}")
        return float(match[1]) * _SECONDS[match[2]]

    def size(self, name: str, default: int) -> int:
        """Bytes, such as 32MiB."""
        value = self._values.get(name)
        if value is None:
            return default
        match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
        if match is None or not int(match[1]):
            self.fail(name, f"expected a size such as 32MiB, got {_named(value)}")
        return int(match[1]) * _BYTES[match[2]]

    def choice(self, name: str, default: str, options: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self.string(name)
        if value is not None and value not in options:
            self.fail(name, f"expected one of {', '.join(options)}, got {_named(value)}")
        return value or default

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fail(name, f"expected a list, got {_named(value)}")
        for number, item in enumerate(value):
            if not isinstance(item, str) or not item:
                self.source.fail((*self.place, name, number), f"expected a text, got {_named(item)}")
        return tuple(value)

    def secrets(self, name: str) -> tuple[str, ...]:
        """One secret or a list of them, each a ${ENV} or file: reference."""
        value = self._values.get(name)
        if value is None:
            return ()
        here = (*self.place, name)
        if isinstance(value, list):
            return tuple(self._secret(item, (*here, number)) for number, item in enumerate(value))
        return (self._secret(value, here),)

    def url(self, name: str) -> str | None:
        """An http or https URL, without its trailing slash."""
        value = self.string(name)
        if value is None:
            return None
        problem = _url_problem(value)
        if problem:
            self.fail(name, problem)
        return value.rstrip("/")

    def path(self, name: str) -> str | None:
        """A file that can be read."""
        value = self.string(name)
        if value is not None:
            try:
                with Path(value).open("rb"):
                    pass
            except OSError as error:
                self.fail(name, f"cannot read {value}: {error.strerror}")
        return value

    def _secret(self, value: Any, place: Place) -> str:
        if isinstance(value, str) and value.startswith(_FILE):
            return _from_file(self.source, value.removeprefix(_FILE), place)
        if place not in self.source.referenced:
            message = "a secret is never written here: use ${NAME} for an environment variable, or file:/path"
            self.source.fail(place, message)
        return str(value)


def entries(source: Source, name: str) -> Iterator[str]:
    """The names in a mapping of named things (`providers`, `models`)."""
    value = source.values.get(name)
    if value is None:
        return
    if not isinstance(value, Mapping):
        source.fail((name,), f"expected a mapping of names, got {_named(value)}")
    yield from value


def items(source: Source, place: Place) -> Iterator[Place]:
    """The places in a list."""
    value = _at(source, place)
    if value is None:
        return
    if not isinstance(value, list):
        source.fail(place, f"expected a list, got {_named(value)}")
    for number in range(len(value)):
        yield (*place, number)


def _at(source: Source, place: Place) -> Any:
    value = source.values
    for part in place:
        value = value[part] if isinstance(part, int) else value.get(part)
        if value is None:
            return None
    return value


def _named(value: Any) -> str:
    """A value as an operator wrote it, cut short. Secrets never come here: they are references, or refused unseen."""
    if isinstance(value, str):
        return f'"{value[:40]}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else "nothing" if value is None else str(value)


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return "is not known" + (f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join(known)}")


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"expected http://host or https://host, got {_named(url)}"
    if parts.username or parts.password:
        return "a URL with a user or password in it; use api_key"
    return "a base URL has no query" if parts.query or parts.fragment else ""


def _from_file(source: Source, name: str, place: Place) -> str:
    try:
        value = Path(name).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        source.fail(place, f"cannot read {name}: {reason}")
    if not value:
        source.fail(place, f"{name} is empty")
    return value
