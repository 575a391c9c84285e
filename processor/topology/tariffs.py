"""The price table: what comes with the gateway, and before it what its configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
import yaml

from processor.config import Config, PriceConfig
from processor.domain import Feature
from processor.errors import ConfigError
from processor.policy.prices import PriceTable, Tariff, Tier

_SHIPPED = Path(__file__).with_name("prices.yaml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The table that comes with the gateway."""

    date: str
    """When its prices were looked up."""
    rates: Mapping[str, Decimal]
    prices: Mapping[str, PriceConfig]


def price_table(config: Config) -> PriceTable:
    """All prices."""
    shipped = read_shipped()
    table = PriceTable(_tariffs(shipped.prices), shipped.rates)
    return table.overridden(_tariffs(config.prices), config.rates)


def read_shipped(path: Path = _SHIPPED) -> Shipped:
    """Read the table.

    Raises:
        ConfigError: naming the entry that is not one.
    """
    try:
        document = yaml.load(path.read_text("utf-8"), _LOADER)  # noqa: S506 - a safe loader
        prices = {
            name: _price(name, entry, path)
            for provider in document["prices"]
            for name, entry in _of(provider, document)
        }
        rates = msgspec.convert(document["rates"], dict[str, Decimal])
        return Shipped(date=str(document["date"]), rates=rates, prices=prices)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise ConfigError(f"not a price table: {error}", file=str(path)) from None


def _of(provider: str, document: dict[str, dict[str, dict[str, object]]]) -> list[tuple[str, object]]:
    """A provider's models, under names with the provider's before them."""
    return [(f"{provider}/{model}", entry) for model, entry in document["prices"][provider].items()]


def _price(name: str, entry: object, file: Path) -> PriceConfig:
    if not isinstance(entry, dict):
        raise ConfigError("expected a mapping", file=str(file), path=f"prices.{name}")
    try:
        return msgspec.convert({"name": name, **entry}, PriceConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), file=str(file), path=f"prices.{name}") from None


def _tariffs(prices: Mapping[str, PriceConfig]) -> dict[str, Tariff]:
    return {name: _tariff(price) for name, price in prices.items()}


def _tariff(price: PriceConfig) -> Tariff:
    return Tariff(
        currency=price.currency,
        input=price.input,
        cached_input=price.cached_input,
        output=price.output,
        image=price.image,
        second=price.second,
        character=price.character,
        request=price.request,
        longer=tuple(
            Tier(above=tier.above, input=tier.input, cached_input=tier.cached_input, output=tier.output)
            for tier in price.longer
        ),
        context=price.context,
        lacks=frozenset(map(Feature, price.lacks)),
    )
