"""How long a vendor asks to be left alone: `retry-after-ms`, or `retry-after` in seconds or as a date."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_CHARACTERS = 40
"""Of a value; a date has 29."""


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds, never below 0; None where nothing is said, or nothing that can be read.

    `now` is in seconds since the epoch, for dates. Milliseconds are OpenAI's and Azure's.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after", "")[:_CHARACTERS]
    seconds = _number(said)
    return seconds if seconds is not None or not said else _until(said, now)


def _number(text: str) -> float | None:
    whole, _, fraction = text.strip().partition(".")
    readable = whole.isascii() and whole.isdecimal() and (not fraction or fraction.isdecimal())
    return float(text) if readable and len(text) <= _CHARACTERS else None


def _until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return None
