"""What a model's answers cost: exact decimals, from prices by the million tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase

from processor.domain import Feature, Usage

_MILLION = Decimal(1_000_000)
_WILD = frozenset("*?[")
_REMEMBERED = 4096
"""Lookups that are kept; clients name any model of a provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Prices of requests with a long prompt."""

    above: int
    """Input tokens from which on they hold for all of the request."""
    input: Decimal | None = None
    cached_input: Decimal | None = None
    output: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """A model's prices, and what it takes. None: not known, or not paid for."""

    currency: str = "USD"
    input: Decimal | None = None
    """A million tokens, as the next two."""
    cached_input: Decimal | None = None
    """None: as other input."""
    output: Decimal | None = None
    image: Decimal | None = None
    """A picture."""
    second: Decimal | None = None
    """A second of sound that is transcribed."""
    character: Decimal | None = None
    """A million characters that are spoken."""
    request: Decimal | None = None
    """Beside all else."""
    longer: tuple[Tier, ...] = ()
    context: int | None = None
    """Tokens that the model takes, prompt and answer."""
    lacks: frozenset[Feature] = frozenset()
    """What of a chat it cannot do."""

    def at(self, input_tokens: int) -> Tariff:
        """The prices that hold for a prompt of so many tokens."""
        tier = max(
            (tier for tier in self.longer if input_tokens > tier.above), key=lambda tier: tier.above, default=None
        )
        if tier is None:
            return self
        return replace(
            self,
            input=self.input if tier.input is None else tier.input,
            cached_input=self.cached_input if tier.cached_input is None else tier.cached_input,
            output=self.output if tier.output is None else tier.output,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantities:
    """What of an answer is paid for."""

    usage: Usage = field(default_factory=Usage)
    images: int = 0
    seconds: Decimal | None = Decimal(0)
    """None: there are some, and nobody knows how many."""
    characters: int = 0


def cost(tariff: Tariff, quantities: Quantities) -> Decimal | None:
    """What it costs in the tariff's currency; None where something is paid for whose price is not known.

    A model that is priced by the picture, the second or the character is not paid for by the token as well, unless it
    has those prices too.
    """
    usage = quantities.usage
    prices = tariff.at(usage.input_tokens)
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    tokens = (
        (prices.input, usage.input_tokens - cached, _MILLION),
        (prices.input if prices.cached_input is None else prices.cached_input, cached, _MILLION),
        (prices.output, usage.output_tokens, _MILLION),
    )
    pieces = (
        (prices.image, quantities.images, 1),
        (prices.second, quantities.seconds, 1),
        (prices.character, quantities.characters, _MILLION),
    )
    by_token = any(price is not None for price, _, _ in tokens)
    by_piece = any(price is not None for price, _, _ in pieces)
    if not by_token and not by_piece and prices.request is None:
        return None
    total = prices.request or Decimal(0)
    for price, amount, per in (*(tokens if by_token or not by_piece else ()), *(pieces if by_piece else ())):
        if amount == 0:
            continue
        if price is None or amount is None:
            return None
        total += price * amount / per
    return total


def estimate(tariff: Tariff, input_tokens: int, output_tokens: int) -> Decimal | None:
    """What a request of so many tokens costs at most: nothing of it cached."""
    return cost(tariff, Quantities(usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens)))


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Tariffs by `provider/model`, or a shell-style pattern of it."""

    tariffs: Mapping[str, Tariff]
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """A currency's worth in US dollars."""
    _patterns: tuple[tuple[str, Tariff], ...] = field(init=False, repr=False)
    _found: dict[str, Tariff | None] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        wild = ((name, tariff) for name, tariff in self.tariffs.items() if _WILD & set(name))
        object.__setattr__(self, "_patterns", tuple(sorted(wild, key=lambda pair: -_literal(pair[0]))))

    def of(self, provider: str, model: str) -> Tariff | None:
        """The tariff of a provider's model: by its name, else by the pattern with the most letters before a sign."""
        name = f"{provider}/{model}"
        if name in self._found:
            return self._found[name]
        found = self.tariffs.get(name) or next(
            (tariff for pattern, tariff in self._patterns if fnmatchcase(name, pattern)), None
        )
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        self._found[name] = found
        return found

    def overridden(self, tariffs: Mapping[str, Tariff], rates: Mapping[str, Decimal] | None = None) -> PriceTable:
        """The table with tariffs and rates that go before its own: patterns too, whatever they look like."""
        if not tariffs and not rates:
            return self
        kept = {
            name: tariff
            for name, tariff in self.tariffs.items()
            if not any(fnmatchcase(name, pattern) for pattern in tariffs)
        }
        return PriceTable({**tariffs, **kept}, {**self.rates, **(rates or {})})

    def convert(self, amount: Decimal, currency: str, into: str) -> Decimal | None:
        """An amount in another currency; None where a rate is not known."""
        if currency == into:
            return amount
        one = Decimal(1) if currency == "USD" else self.rates.get(currency)
        other = Decimal(1) if into == "USD" else self.rates.get(into)
        return None if one is None or not other else amount * one / other


def _literal(pattern: str) -> int:
    """Characters before the first sign."""
    return next((place for place, character in enumerate(pattern) if character in _WILD), len(pattern))
