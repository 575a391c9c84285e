"""The limits of a gateway key: its own and its team's."""

from __future__ import annotations

from collections.abc import Mapping

from processor.config import KeyConfig, TeamConfig
from processor.policy.limits import Limit
from processor.topology.allowances import limits_of

_MOST = 65_536
"""Keys that are remembered: they come and go while the gateway runs."""


class KeyLimits:
    """Worked out once for each key."""

    def __init__(self, teams: Mapping[str, TeamConfig]) -> None:
        self._teams = {name: limits_of(f"team:{name}", team.limits, team.budget) for name, team in teams.items()}
        self._known: dict[str, tuple[KeyConfig, tuple[Limit, ...]]] = {}

    def of(self, key: KeyConfig) -> tuple[Limit, ...]:
        """Every limit that holds for a key's requests, whatever they ask for."""
        known = self._known.get(key.name)
        if known and known[0] is key:
            return known[1]
        limits = (*limits_of(f"key:{key.name}", key.limits, key.budget), *self._teams.get(key.team, ()))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key.name] = (key, limits)
        return limits
