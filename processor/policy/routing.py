"""How a model's targets share its requests."""

from __future__ import annotations

from enum import StrEnum


class Strategy(StrEnum):
    """By name; `ordering.STRATEGIES` has what each means."""

    WEIGHTED = "weighted"
    FAILOVER = "failover"
    LEAST_BUSY = "least_busy"
    LATENCY = "latency"
