"""YAML text to plain values that remember their lines, with ${ENV} and file: references put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from processor.errors import ConfigError

Place = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}")
_OPEN, _CLOSE, _ESCAPED = "\ue000", "\ue001", "\ue002"
"""Private-use characters that stand for a reference while YAML is parsed: braces would end a flow mapping, and a
value put in before parsing could be YAML itself."""
_HELD = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text_of(place: Place) -> str:
    """`models.chat-fast.targets[1].weight`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


@dataclass(slots=True)
class Source:
    """A parsed file: its values, and the line of each."""

    file: str
    values: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    referenced: set[Place] = field(default_factory=set)
    """Values that came from a reference: the only way a secret may come."""

    def fail(self, place: Place, message: str) -> NoReturn:
        """Raise the ConfigError for a mistake at a place."""
        raise ConfigError(message, file=self.file, line=self.line(place), path=text_of(place))

    def line(self, place: Place) -> int:
        """The line of a place, or of what holds it where it is missing."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(path: Path, environ: Mapping[str, str]) -> Source:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is not YAML, has a key twice, or refers to something that is not there.
    """
    source = Source(str(path))
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", file=str(path)) from None
    return _Reader(source, environ).read(text)


class _Reader:
    """Composes the nodes of one text and turns them into values."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._references: list[tuple[str, str | None]] = []

    def read(self, text: str) -> Source:
        """Parse the text."""
        try:
            node = yaml.compose(_REFERENCE.sub(self._hold, text), Loader=_LOADER)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
            line = mark.line + 1 if mark else 1
            raise ConfigError(f"not YAML: {problem}", file=self._source.file, line=line) from None
        self._source.values = {} if node is None else self._value(node, ())
        if not isinstance(self._source.values, dict):
            self._source.fail((), "expected a mapping of sections such as providers, models, keys")
        return self._source

    def _hold(self, match: re.Match[str]) -> str:
        if match[1] is None:
            return _ESCAPED
        self._references.append((match[1], match[2]))
        return f"{_OPEN}{len(self._references) - 1}{_CLOSE}"

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self._source.lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, place))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*place, number)) for number, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - YAML has no fourth kind
        return self._scalar(node, place)

    def _items(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*place, key)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                self._source.lines[here] = key_node.start_mark.line + 1
                self._source.fail(here, "expected a plain name as key")
            if key in seen:
                self._source.lines[here] = key_node.start_mark.line + 1
                self._source.fail(here, "stands here twice")
            seen.add(key)
            value = self._value(value_node, here)
            self._source.lines[here] = key_node.start_mark.line + 1
            yield key, value

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text = str(node.value)
        if _OPEN in text or _ESCAPED in text:
            value = _HELD.sub(lambda match: self._resolve(int(match[1]), place), text).replace(_ESCAPED, "${")
            if _OPEN in text:
                self._source.referenced.add(place)
            return value
        return _plain(node)

    def _resolve(self, number: int, place: Place) -> str:
        name, fallback = self._references[number]
        value = self._environ.get(name) or fallback
        if value is None:
            state = "is empty" if name in self._environ else "is not set"
            self._source.fail(place, f"the environment variable {name} {state}")
        return value


def _plain(node: yaml.ScalarNode) -> Any:
    loader = _LOADER("")
    try:
        value = loader.construct_object(node, deep=True)
    finally:
        loader.dispose()
    return value if isinstance(value, str | int | float | bool) or value is None else str(node.value)
