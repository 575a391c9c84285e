"""How many requests at once may ask a target again that has failed them: a share of the live ones. Pure.

The first try at each target is failover, and never limited: whoever is healthy is to answer. What multiplies an outage
are the rounds after it.
"""

from __future__ import annotations

from collections import Counter

_ALWAYS = 3
"""Requests that may whatever the share, so that a quiet gateway retries at all; Envoy's `min_retry_concurrency`."""


class RetryBudget:
    """Counts, by model, the live requests and those of them that are asking again."""

    __slots__ = ("_live", "_retrying")

    def __init__(self) -> None:
        self._live: Counter[str] = Counter()
        self._retrying: Counter[str] = Counter()

    def live(self, model: str) -> int:
        """Requests that have been planned and are not over."""
        return self._live[model]

    def begin(self, model: str) -> None:
        """A request is planned."""
        self._live[model] += 1

    def end(self, model: str) -> None:
        """It is over."""
        _less(self._live, model)

    def allows(self, model: str, share: float) -> bool:
        """Whether one more may ask again."""
        return self._retrying[model] < max(_ALWAYS, share * self._live[model]) if share else False

    def take(self, model: str) -> None:
        """One more does, until `give_back`."""
        self._retrying[model] += 1

    def give_back(self, model: str) -> None:
        """It does no longer."""
        _less(self._retrying, model)


def _less(counts: Counter[str], model: str) -> None:
    """Names of models are the clients' to choose: none is kept at zero."""
    counts[model] -= 1
    if counts[model] <= 0:
        del counts[model]
