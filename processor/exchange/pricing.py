"""What requests cost, by the price table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from msgspec import Raw

from processor.domain import Operation, Usage
from processor.policy.limits import MILLIONTHS
from processor.policy.prices import PriceTable, Quantities, Tariff, cost, estimate
from processor.topology import Target
from processor.wire.json import Fields, decode

_DOLLARS = "USD"
_DIGITS = 6
"""Of a number of pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount, exactly."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return format(self.amount.normalize(), "f")


def quantities_of(operation: Operation, fields: Fields, usage: Usage) -> Quantities:
    """What is paid for, of an answered request: what the vendor counted, and the pictures or characters asked for."""
    match operation:
        case Operation.IMAGE_GENERATION | Operation.IMAGE_EDIT:
            return Quantities(usage=usage, images=_whole(fields.get("n")) or 1)
        case Operation.SPEECH:
            return Quantities(usage=usage, characters=_characters(fields.get("input")))
        case Operation.TRANSCRIPTION | Operation.TRANSLATION:
            return Quantities(usage=usage, seconds=None if usage.seconds is None else _exact(usage.seconds))
        case _:
            return counted(usage)


def counted(usage: Usage) -> Quantities:
    """What is paid for where only what the vendor counted is known."""
    return Quantities(usage=usage, seconds=_exact(usage.seconds or 0))


def _exact(seconds: float) -> Decimal:
    """As it was written."""
    return Decimal(str(seconds))


def _whole(value: Raw | None) -> int:
    text = bytes(value).strip(b'"') if value is not None else b""
    return int(text) if text.isdigit() and len(text) < _DIGITS else 0


def _characters(value: Raw | None) -> int:
    said = decode(value) if value is not None else ""
    return len(said) if isinstance(said, str) else 0


@dataclass(frozen=True, slots=True)
class Prices:
    """Answers by target."""

    table: PriceTable

    def cost(self, target: Target, quantities: Quantities) -> Money | None:
        """What an answer cost; None where a price is not known."""
        return self.cost_at(target.provider.name, target.model, quantities)

    def cost_at(self, provider: str, model: str, quantities: Quantities) -> Money | None:
        """The same for a provider's model."""
        tariff = self.table.of(provider, model)
        amount = cost(tariff, quantities) if tariff else None
        return None if tariff is None or amount is None else Money(amount=amount, currency=tariff.currency)

    def millionths(self, target: Target, input_tokens: int, output_tokens: int) -> int:
        """Of a dollar, what a request is expected to cost at most; 0 where no price is known."""
        tariff = self._tariff(target)
        amount = estimate(tariff, input_tokens, output_tokens) if tariff else None
        return 0 if tariff is None or amount is None else self._millionths(amount, tariff.currency)

    def spent(self, money: Money | None) -> int:
        """An amount in millionths of a dollar, rounded up."""
        return 0 if money is None else self._millionths(money.amount, money.currency)

    def cheapest(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """The cheapest of them, if that is not all of them; those without a price count as free."""
        prices = {target: self.millionths(target, MILLIONTHS, MILLIONTHS) for target in targets}
        least = min(prices.values())
        return () if least == max(prices.values()) else tuple(t for t in targets if prices[t] == least)

    def _tariff(self, target: Target) -> Tariff | None:
        return self.table.of(target.provider.name, target.model)

    def _millionths(self, amount: Decimal, currency: str) -> int:
        dollars = self.table.convert(amount, currency, _DOLLARS)
        return 0 if dollars is None else int((dollars * MILLIONTHS).to_integral_value(ROUND_CEILING))
