"""What an attempt's error means for the next attempt, and for its target. Pure."""

from __future__ import annotations

RETRIABLE_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""The vendor's bad moment: another target may do better. 529 is Anthropic's and DeepSeek's "overloaded"."""
REJECTED_STATUSES = frozenset({401, 402, 403})
"""The vendor wants nothing of our credential, or of our account: another target has another."""

_REJECTED_COOLDOWN = 60.0
"""Seconds that a target is left alone whose credential was rejected: somebody has to see to it."""
_LIMITED_COOLDOWN = 1.0
"""Seconds after a 429 that does not say how long."""


def passes_on(status: int) -> bool:
    """Whether the next target is to answer instead. What the client did wrong is wrong everywhere."""
    return status in RETRIABLE_STATUSES or status in REJECTED_STATUSES


def is_targets_fault(status: int) -> bool:
    """Whether an error speaks against its target."""
    return passes_on(status) and status != 409


def cooldown(status: int, retry_after: str) -> float:
    """Seconds that a target is not to be tried after an error; `retry_after` is the header's text."""
    if status in REJECTED_STATUSES:
        return _REJECTED_COOLDOWN
    if status != 429:
        return 0.0
    return float(retry_after) if retry_after.isdecimal() and len(retry_after) <= 6 else _LIMITED_COOLDOWN
