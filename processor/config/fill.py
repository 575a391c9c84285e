"""Fills the schema's structs from a parsed file, and reports every value that does not fit, at its own place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

from processor.config.readers import Expected, Reader, Written
from processor.config.schema import ONE_OR_MORE
from processor.config.source import BROKEN, Broken, Place, Source, quoted

S = TypeVar("S", bound=Struct)

_CONFIDENTIAL = ("providers", "keys", "redis")
"""Sections that hold secrets, or what was taken for a place to put one: no value in them is ever shown."""
_LOOKS_LIKE_A_KEY = re.compile(r"[A-Za-z_]{1,24}")
"""A strange key may be shown; a secret that slipped into a key's place has digits or signs."""
_SHOWN_CHARACTERS = 60


def fill(source: Source, kind: type[S], **given: object) -> S:
    """Fill a struct whose fields all have defaults from the top of a file; `given` fields are not read from it.

    What does not fit is reported in the source and left out: a part breaks what holds it, up to the nearest
    field with a default or entry of a mapping.
    """
    filled = _struct(source, (), source.values, kind, given)
    return kind(**given) if filled is BROKEN else filled


def filled(kind: type[S], values: object, **given: object) -> S:
    """A struct from values that stand in no file, checked as a file's are; `given` fields are not read from them.

    Raises:
        ConfigError: the first value that does not fit, with its path.
    """
    source = Source(Path(), values, guarded=False)
    struct = _struct(source, (), values, kind, given)
    source.verdict()
    assert struct is not BROKEN  # noqa: S101 - its mistake would have been raised
    return struct


def suggestion(word: str, options: Iterable[str]) -> str:
    """`, did you mean …?` for the nearest of the options; empty when none is near."""
    near = difflib.get_close_matches(word, list(options), n=1)
    return f", did you mean {near[0]}?" if near else ""


def _struct(source: Source, place: Place, value: object, kind: type[S], given: Mapping[str, object]) -> S | Broken:
    written = {} if value is None else value
    if not isinstance(written, dict):
        source.report(place, f"expected a mapping, got {_shown(source, place, value)}")
        return BROKEN
    by_key = {info.encode_name: info for info in fields(kind) if info.name not in given}
    unknown = [key for key in written if key not in by_key]
    for key in unknown:
        _report_unknown(source, place, key, by_key)
    filled = dict(given)
    broken = False
    for key, info in by_key.items():
        if key in written:
            item = _value(source, (*place, key), written[key], info.type)
            if item is not BROKEN:
                filled[info.name] = item
                continue
        elif _required(info) and not unknown:  # an unknown key may well be the missing one, misspelt
            source.report(place, f"{key} is missing")
        broken |= _required(info)
    return BROKEN if broken else kind(**filled)


def _value(source: Source, place: Place, value: object, hint: object) -> object:
    if value is BROKEN:
        return BROKEN
    hint, optional = _without_none(hint)
    bare, notes = _without_notes(hint)
    if isinstance(bare, type) and issubclass(bare, Struct):
        return _struct(source, place, value, bare, {})
    if get_origin(bare) is tuple:
        return _tuple(source, place, value, get_args(bare)[0], notes)
    if get_origin(bare) is Mapping and not notes:
        return _mapping(source, place, value, get_args(bare)[1])
    if value is None and optional:
        return None
    return _leaf(source, place, value, hint, notes)


def _mapping(source: Source, place: Place, value: object, kind: type[Struct]) -> dict[str, object] | Broken:
    """Entries by name; each is told its own."""
    entries = {} if value is None else value
    if not isinstance(entries, dict):
        source.report(place, f"expected a mapping, got {_shown(source, place, value)}")
        return BROKEN
    filled = {
        name: BROKEN if entry is BROKEN else _struct(source, (*place, name), entry, kind, {"name": name})
        for name, entry in entries.items()
    }
    return {name: entry for name, entry in filled.items() if entry is not BROKEN}


def _tuple(source: Source, place: Place, value: object, item: object, notes: tuple[object, ...]) -> object:
    if ONE_OR_MORE in notes and not isinstance(value, list):
        single = _value(source, place, value, item)
        return BROKEN if single is BROKEN else (single,)
    items = [] if value is None else value
    if not isinstance(items, list):
        source.report(place, f"expected a list, got {_shown(source, place, value)}")
        return BROKEN
    least = max((note.min_length or 0 for note in notes if isinstance(note, Meta)), default=0)
    if len(items) < least:
        source.report(place, f"expected at least {least} here, got an empty list")
        return BROKEN
    filled = tuple(_value(source, (*place, number), entry, item) for number, entry in enumerate(items))
    return BROKEN if BROKEN in filled else filled


def _leaf(source: Source, place: Place, value: object, hint: object, notes: tuple[object, ...]) -> object:
    reference = source.references.get(place)
    written = Written(reference, source.file.parent)
    try:
        for note in notes:
            if isinstance(note, Reader):
                value = note.read(value, written)
        # An environment variable is always a text, whatever stands in it.
        return msgspec.convert(value, hint, strict=reference is None)
    except msgspec.ValidationError as error:
        message = f"{_expectation(error, hint)}, got {_shown(source, place, value)}"
        needs_quotes = _without_notes(hint)[0] is str and isinstance(value, bool | int | float)
        source.report(place, message + ": put it in quotes" * needs_quotes)
    except Expected as error:
        source.report(place, f"{error}, got {_shown(source, place, value)}")
    except ValueError as error:
        source.report(place, str(error))
    return BROKEN


def _expectation(error: msgspec.ValidationError, hint: object) -> str:
    """`expected int`, from msgspec's words."""
    bare, _ = _without_notes(hint)
    if get_origin(bare) is Literal:
        return f"expected {' or '.join(get_args(bare))}"
    words = str(error).partition(", got ")[0].partition(" - at ")[0].replace("`", "")
    return words[:1].lower() + words[1:]


def _report_unknown(source: Source, place: Place, key: str, known: Mapping[str, object]) -> None:
    here, near = (*place, key), suggestion(key, known)
    if _confidential(source, place) and not near and not _LOOKS_LIKE_A_KEY.fullmatch(key):
        unshown = (*place, "?")
        source.lines[unshown] = source.lines[here]
        here = unshown
    source.report(here, f"unknown key{near or '; known here: ' + ', '.join(known)}")


def _shown(source: Source, place: Place, value: object) -> str:
    """A value in a message: as written, or only its kind where it may be a secret."""
    if reference := source.references.get(place):
        return "the value of " + " and ".join(f"${{{name}}}" for name in reference.names)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if _confidential(source, place):
        return "a text" if isinstance(value, str) else "a bool" if isinstance(value, bool) else "a number"
    if isinstance(value, str):
        return quoted(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…")
    return str(value).lower()


def _confidential(source: Source, place: Place) -> bool:
    return source.guarded and bool(place) and place[0] in _CONFIDENTIAL


def _required(info: FieldInfo) -> bool:
    return info.default is msgspec.NODEFAULT and info.default_factory is msgspec.NODEFAULT


def _without_none(hint: object) -> tuple[Any, bool]:
    rest = [kind for kind in get_args(hint) if kind is not NoneType]
    return (rest[0], True) if NoneType in get_args(hint) else (hint, False)


def _without_notes(hint: object) -> tuple[Any, tuple[object, ...]]:
    if get_origin(hint) is Annotated:
        bare, *notes = get_args(hint)
        return bare, tuple(notes)
    return hint, ()
