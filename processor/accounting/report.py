"""What usage records come to: sums for each key, team, model, provider or day, as a table or as JSON. Pure."""

from __future__ import annotations

import statistics
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from processor.domain import UsageRecord, UsageSource

NONE = "(none)"
"""The group of records that do not say."""
_UNSURE = frozenset({UsageSource.PARTIAL, UsageSource.ESTIMATED})


class By(StrEnum):
    """What records are grouped by."""

    KEY = "key"
    TEAM = "team"
    MODEL = "model"
    PROVIDER = "provider"
    DAY = "day"


@dataclass(slots=True)
class Totals:
    """The sums of a group."""

    name: str
    requests: int = 0
    errors: int = 0
    """Answered with 400 or above, or not at all."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    counted: int = 0
    """Requests that have token counts."""
    unsure: int = 0
    """Those of them whose counts are estimated, or of an answer that was cut."""
    costs: dict[str, Decimal] = field(default_factory=dict)
    """By currency."""
    ttfts_ms: array[float] = field(default_factory=lambda: array("f"))

    def add(self, record: UsageRecord) -> None:
        """Count a record in."""
        usage = record.usage
        self.requests += 1
        self.errors += record.status < 100 or record.status >= 400
        self.input_tokens += usage.input_tokens
        self.cached_input_tokens += usage.cached_input_tokens
        self.output_tokens += usage.output_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        self.counted += record.usage_source is not UsageSource.NONE
        self.unsure += record.usage_source in _UNSURE
        if record.cost:
            self.costs[record.currency] = self.costs.get(record.currency, Decimal(0)) + Decimal(record.cost)
        if record.ttft_ms is not None:
            self.ttfts_ms.append(record.ttft_ms)

    @property
    def unsure_share(self) -> float | None:
        """Of the requests that have counts; None when none has."""
        return self.unsure / self.counted if self.counted else None

    @property
    def ttft_p50_ms(self) -> float | None:
        """The median time to first token."""
        return statistics.median(self.ttfts_ms) if self.ttfts_ms else None


@dataclass(frozen=True, slots=True)
class Report:
    """The groups, and all of them together."""

    by: By
    groups: Sequence[Totals]
    total: Totals


def summarize(records: Iterable[UsageRecord], by: By, *, day: Callable[[float], str]) -> Report:
    """Sum up in one pass: days in order, other groups with the most tokens first. `day` names the day of a time."""
    name_of = _names(day)[by]
    groups: dict[str, Totals] = {}
    total = Totals("total")
    for record in records:
        name = name_of(record) or NONE
        group = groups.get(name)
        if group is None:
            group = groups[name] = Totals(name)
        group.add(record)
        total.add(record)
    order = _by_name if by is By.DAY else _by_size
    return Report(by, sorted(groups.values(), key=order), total)


def _names(day: Callable[[float], str]) -> Mapping[By, Callable[[UsageRecord], str]]:
    return {
        By.KEY: lambda record: record.key,
        By.TEAM: lambda record: record.team,
        By.MODEL: lambda record: record.request_model or record.response_model,
        By.PROVIDER: lambda record: record.provider,
        By.DAY: lambda record: day(record.time),
    }


def _by_name(totals: Totals) -> str:
    return totals.name


def _by_size(totals: Totals) -> tuple[int, int, str]:
    return -(totals.input_tokens + totals.output_tokens), -totals.requests, totals.name


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _money(costs: Mapping[str, Decimal]) -> str:
    """`1.2346 USD + 0.5 CNY`."""
    return " + ".join(f"{cost:.4f} {currency}" for currency, cost in sorted(costs.items())) or "-"


_COLUMNS: tuple[tuple[str, Callable[[Totals], str]], ...] = (
    ("requests", lambda totals: _number(totals.requests)),
    ("errors", lambda totals: _number(totals.errors)),
    ("input", lambda totals: _number(totals.input_tokens)),
    ("cached", lambda totals: _number(totals.cached_input_tokens)),
    ("output", lambda totals: _number(totals.output_tokens)),
    ("reasoning", lambda totals: _number(totals.reasoning_tokens)),
    ("estimated", lambda totals: _share(totals.unsure_share)),
    ("TTFT p50", lambda totals: _milliseconds(totals.ttft_p50_ms)),
)
_COST: tuple[str, Callable[[Totals], str]] = ("cost", lambda totals: _money(totals.costs))
"""Only where something has a price."""


def table(report: Report) -> str:
    """For people: a line a group, aligned, the total below when there are several."""
    columns = (*_COLUMNS, _COST) if report.total.costs else _COLUMNS
    rows = [(str(report.by), *(heading for heading, _ in columns))]
    shown = [*report.groups, report.total] if len(report.groups) > 1 else report.groups
    rows += [(totals.name, *(cell(totals) for _, cell in columns)) for totals in shown]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_aligned(row, widths) for row in rows)


def plain(report: Report) -> dict[str, object]:
    """For programs: the same sums as JSON values."""
    by = str(report.by)
    groups = [{by: totals.name, **_values(totals)} for totals in report.groups]
    return {"by": by, "groups": groups, "total": _values(report.total)}


def _values(totals: Totals) -> dict[str, object]:
    return {
        "requests": totals.requests,
        "errors": totals.errors,
        "input_tokens": totals.input_tokens,
        "cached_input_tokens": totals.cached_input_tokens,
        "output_tokens": totals.output_tokens,
        "reasoning_tokens": totals.reasoning_tokens,
        "cost": {currency: str(cost) for currency, cost in sorted(totals.costs.items())},
        "estimated_share": totals.unsure_share,
        "ttft_p50_ms": totals.ttft_p50_ms,
    }


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *cells = row
    first = name + " " * (widths[0] - _width(name))
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])


def _width(text: str) -> int:
    """Columns a terminal needs: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
