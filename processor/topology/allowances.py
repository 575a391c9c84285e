"""The limits and budgets of a configuration, as they are counted."""

from __future__ import annotations

from collections.abc import Iterator

from processor.config import BudgetConfig, LimitsConfig
from processor.policy.limits import MILLIONTHS, Limit, Period, Unit

_LIMITS = (
    ("rpm", Unit.REQUESTS, Period.MINUTE),
    ("tpm", Unit.TOKENS, Period.MINUTE),
    ("concurrent", Unit.REQUESTS, Period.NOW),
    ("tokens_per_day", Unit.TOKENS, Period.DAY),
    ("tokens_per_month", Unit.TOKENS, Period.MONTH),
)
_BUDGETS = (("usd_per_day", Period.DAY), ("usd_per_month", Period.MONTH))


def limits_of(subject: str, limits: LimitsConfig, budget: BudgetConfig | None = None) -> tuple[Limit, ...]:
    """Every limit that is set, under the subject's name."""
    return (*_counts(subject, limits), *(_money(subject, budget) if budget else ()))


def _counts(subject: str, limits: LimitsConfig) -> Iterator[Limit]:
    for name, unit, period in _LIMITS:
        amount: int | None = getattr(limits, name)
        if amount is not None:
            yield Limit(subject=subject, unit=unit, period=period, amount=amount)


def _money(subject: str, budget: BudgetConfig) -> Iterator[Limit]:
    reroutes = budget.on_budget == "reroute"
    for name, period in _BUDGETS:
        amount = getattr(budget, name)
        if amount is not None:
            millionths = int(amount * MILLIONTHS)
            yield Limit(subject=subject, unit=Unit.MONEY, period=period, amount=millionths, reroutes=reroutes)
