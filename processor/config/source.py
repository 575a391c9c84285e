"""YAML text to plain values that remember where they stand, with `${NAME}` references put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import yaml

from processor.errors import ConfigError

Place = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Around a reference's number while YAML is parsed. The braces of `${NAME}` would end a flow mapping, and a value put
in before parsing could be YAML itself."""
_REFERENCE = re.compile(r"(\$\$\{[^{}\n]*\}?)|\$\{([^{}\n]*)\}")
_EXPRESSION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?")
_HELD = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue002-\ufffd\U00010000-\U0010ffff]")
"""What YAML itself does not take, and the two characters above."""
_DEEPEST = 16
"""Levels; the file needs six, and the parser runs out of stack at some ten thousand."""
_PLAIN_PATH_PART = re.compile(r"[^\s\".\[\]]+(\.[^\s\".\[\]]+)*")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MALFORMED = "a reference is written ${NAME} or ${NAME:-default}, a plain dollar and brace $${"


class Broken(Enum):
    """Stands for a value whose mistake has been reported."""

    BROKEN = "broken"


BROKEN: Final = Broken.BROKEN


@dataclass(frozen=True, slots=True)
class Reference:
    """How a text with references in it was written."""

    names: tuple[str, ...]
    literal: str
    """What stood around the references."""
    start: str
    """What stood before the first of them."""
    defaulted: bool
    """Whether one has a default that is not empty."""


@dataclass(slots=True)
class Source:
    """A parsed file: its values, where each stands, and the mistakes found so far."""

    file: Path
    values: object = None
    lines: dict[Place, int] = field(default_factory=dict)
    references: dict[Place, Reference] = field(default_factory=dict)
    problems: list[ConfigError] = field(default_factory=list)
    guarded: bool = True
    """Whether no value is shown where a file has secrets."""

    def report(self, place: Place, message: str) -> None:
        """Note a mistake at a place, or at what holds it where it is missing."""
        held = place
        while held and held not in self.lines:
            held = held[:-1]
        line = self.lines.get(held, 1)
        self.problems.append(ConfigError(message, file=str(self.file), line=line, path=path_of(place)))

    def verdict(self) -> None:
        """Raise the mistake that stands first in the file, if there is one."""
        if self.problems:
            raise min(self.problems, key=lambda problem: problem.line)


def path_of(place: Place) -> str:
    """`models.chat-fast.targets[1].weight`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_plain_or_quoted(part)}" for part in place)
    return "".join(parts).removeprefix(".")


def quoted(text: str) -> str:
    """A text on one line, in quotes."""
    return '"' + (text if text.isprintable() else ascii(text)[1:-1]) + '"'


def read(path: Path, environ: Mapping[str, str]) -> Source:
    """Read a file; missing variables and doubled keys are reported in the result.

    Raises:
        ConfigError: it cannot be read, or is not YAML this file may be written in.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8 text", file=str(path)) from None
    if match := _FORBIDDEN.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise ConfigError(f"not YAML: the character {match[0]!a}", file=str(path), line=line)
    return _Reader(Source(path), environ).read(text)


class _Reader:
    """Turns the nodes of one text into values."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._held: list[re.Match[str]] = []

    def read(self, text: str) -> Source:
        held = _REFERENCE.sub(self._hold, text)
        try:
            self._refuse_graphs(held)
            node = yaml.compose(held, Loader=_LOADER)
        except yaml.YAMLError as error:
            raise self._syntax_error(error, text.count("\n") + 1) from None
        self._source.lines[()] = 1
        self._source.values = None if node is None else self._value(node, ())
        return self._source

    def _hold(self, match: re.Match[str]) -> str:
        self._held.append(match)
        return f"{_OPEN}{len(self._held) - 1}{_CLOSE}"

    def _refuse_graphs(self, text: str) -> None:
        """Anchors and aliases give one value two places, tags another meaning; and a parser's stack is finite."""
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            message = ""
            if getattr(event, "anchor", None) or getattr(event, "tag", None):
                message = "anchors, aliases and tags (&, *, !) are not taken; quote a text that begins with such a sign"
            elif depth > _DEEPEST:
                message = f"nested deeper than {_DEEPEST} levels"
            if message:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(message, file=str(self._source.file), line=line)

    def _syntax_error(self, error: yaml.YAMLError, last_line: int) -> ConfigError:
        words = (getattr(error, "context", None), getattr(error, "problem", None))
        problem = " ".join(" ".join(filter(None, words)).split()) or "unreadable"
        mark = getattr(error, "problem_mark", None)
        # What is missing at the end is marked behind the last line.
        line = min(mark.line + 1, last_line) if mark else 1
        return ConfigError(f"not YAML: {problem}", file=str(self._source.file), line=line)

    def _value(self, node: yaml.Node, place: Place) -> object:
        self._source.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, place))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*place, number)) for number, child in enumerate(node.value)]
        return self._scalar(node, place)

    def _items(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, object]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or _OPEN in key_node.value or "${" in key_node.value:
                self._report(place, line, "a key is a plain name, without references")
                continue
            key = str(key_node.value)
            here = (*place, key)
            if key in seen:
                self._report(here, line, "this key stands here twice")
                continue
            seen.add(key)
            # A mistake in a scalar is where the scalar is; one in a whole mapping or list is where its name is.
            is_text = isinstance(value_node, yaml.ScalarNode) and value_node.value
            self._source.lines[here] = value_node.start_mark.line + 1 if is_text else line
            yield key, self._value(value_node, here)

    def _report(self, place: Place, line: int, message: str) -> None:
        problem = ConfigError(message, file=str(self._source.file), line=line, path=path_of(place))
        self._source.problems.append(problem)

    def _scalar(self, node: yaml.Node, place: Place) -> object:
        if "${" in node.value:
            self._source.report(place, _MALFORMED)
            return BROKEN
        if _OPEN not in node.value:
            return _plain(node)
        return self._resolved(node.value, place)

    def _resolved(self, text: str, place: Place) -> str | Broken:
        """The text with its references' values in it."""
        start, *rest = _HELD.split(text)
        pieces, literal, names, defaulted = [start], [start], [], False
        for number, after in zip(rest[::2], rest[1::2], strict=True):
            escaped, expression = self._held[int(number)].groups()
            if escaped:
                value = escaped.removeprefix("$")
                literal.append(value)
            else:
                match = _EXPRESSION.fullmatch(expression)
                value = self._variable(match, place)
                if match is None or value is None:
                    return BROKEN
                names.append(match[1])
                defaulted |= bool(match[2])
            pieces += (value, after)
            literal.append(after)
        if names:
            self._source.references[place] = Reference(tuple(names), "".join(literal), start, defaulted)
        return "".join(pieces)

    def _variable(self, match: re.Match[str] | None, place: Place) -> str | None:
        if match is None:
            self._source.report(place, _MALFORMED)
            return None
        name, default = match.groups()
        value = self._environ.get(name) or default
        if value is None:
            state = "empty" if name in self._environ else "not set"
            self._source.report(place, f"the environment variable {name} is {state}")
        return value


def _plain(node: yaml.Node) -> object:
    """A scalar by its YAML type. Octal, sexagesimal and dated "numbers" are the texts they look like."""
    text: str = node.value
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" if _DECIMAL.fullmatch(text):
            return int(text)
        case "float" if text.replace(".", "", 1).isdecimal():
            return float(text)
        case _:
            return text


def _plain_or_quoted(part: str) -> str:
    return part if part.isprintable() and _PLAIN_PATH_PART.fullmatch(part) else quoted(part)
