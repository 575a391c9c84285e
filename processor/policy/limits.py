"""What a request takes of limits, and what came of asking. Pure; stores keep the counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MILLIONTHS = 1_000_000


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    MONEY = "money"
    """In millionths of the budget's currency: whole numbers everywhere."""


class Period(StrEnum):
    """Over what a limit counts."""

    MINUTE = "minute"
    """Any 60 seconds: a sliding window."""
    DAY = "day"
    """A calendar day, UTC."""
    MONTH = "month"
    """A calendar month, UTC."""
    NOW = "now"
    """Requests under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit as it is configured."""

    subject: str
    """Whose: `key:team-a`, `team:search`, `model:chat-fast`, `target:deepseek/deepseek-chat`."""
    unit: Unit
    period: Period
    amount: int
    """At most; 0 admits nothing."""
    reroutes: bool = False
    """Whether, once it is spent, the cheapest targets answer instead of nobody."""
    name: str = field(init=False, repr=False)
    """`key:team-a tokens/minute`: which limit it is, in a store and in an error."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.subject} {self.unit}/{self.period}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a request is to take of a limit."""

    limit: Limit
    cost: int
    """Reserved until the request is settled; 1 for requests, and for requests under way."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands after a request asked."""

    limit: Limit
    remaining: int
    """Never below 0."""
    reset: float
    """Seconds until all of it is free again, if nothing more is asked; 0 for requests under way."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request holds of a limit, to be settled with."""

    charge: Charge
    slot: int
    """The bucket it was counted in: seconds since the epoch for a minute, the period's number for a day or month."""
    degraded: bool = False
    """Whether this process counted it, for want of the store that replicas share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What came of asking: all charges were taken, or none."""

    standings: tuple[Standing, ...] = ()
    """Of every limit that was asked, in order."""
    refused: Standing | None = None
    """The limit that stands in the way; None: admitted. Where several do, the one that does so longest."""
    retry_after: float | None = None
    """Seconds until the same request would be admitted, if nobody else asks; None when it never would (its cost is
    above the limit), or nobody can say (requests under way)."""
    taken: tuple[Taken, ...] = ()
    degraded: bool = False
    """Whether the store that replicas share could not be asked, and this process decided by its own counts."""
