"""Who may use what. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase


def allowed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name fits one of these shell-style patterns; no pattern allows all."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
