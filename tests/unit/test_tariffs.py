"""The price table that comes with the gateway, and what a configuration puts before it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.config import Config, PriceConfig
from processor.domain import Feature, Operation, Usage
from processor.errors import ConfigError
from processor.exchange.pricing import counted, quantities_of
from processor.policy.prices import PriceTable, Quantities, Tariff, Tier, cost, estimate
from processor.topology.tariffs import price_table, read_shipped
from processor.vendors import VENDORS

TABLE = price_table(Config())


def usage(input_tokens: int = 0, output_tokens: int = 0, cached: int = 0) -> Quantities:
    return Quantities(usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens, cached_input_tokens=cached))


@pytest.mark.parametrize(
    ("provider", "model", "quantities", "expected"),
    [
        ("openai", "gpt-4.1", usage(1000, 100, cached=400), "0.0022"),  # 600 at 2, 400 at 0.5, 100 at 8
        ("openai", "gpt-4o-2024-08-06", usage(1, 1), "0.0000125"),
        ("anthropic", "claude-opus-4-5-20251101", usage(1000, 1000), "0.03"),
        ("anthropic", "claude-opus-5-5", usage(1000, 1000), "0.024"),
        ("gemini", "gemini-2.5-pro", usage(200_000, 0), "0.25"),
        ("gemini", "gemini-2.5-pro", usage(200_001, 1), "0.5000175"),
        ("openai", "tts-1", Quantities(characters=1000), "0.015"),
        ("demo", "demo-chat", usage(10, 10), "0"),
    ],
)
def test_a_cost_is_exact_to_the_last_digit(provider: str, model: str, quantities: Quantities, expected: str) -> None:
    tariff = TABLE.of(provider, model)
    assert tariff is not None
    assert cost(tariff, quantities) == Decimal(expected)


def test_what_has_no_price_has_no_cost() -> None:
    assert TABLE.of("nobody", "gpt-4o") is None
    embedding = TABLE.of("openai", "text-embedding-3-small")
    assert embedding is not None
    assert cost(embedding, usage(1000, 0)) == Decimal("0.00002")
    assert cost(embedding, usage(1000, 1)) is None, "an answer it has no price for"
    assert cost(Tariff(), usage(1, 1)) is None


def test_seconds_that_nobody_counted_have_no_cost() -> None:
    by_second, by_token = Tariff(second=Decimal("0.0001")), Tariff(input=Decimal(6), output=Decimal(10))
    heard = Usage(seconds=8.5)
    for operation in (Operation.TRANSCRIPTION, Operation.TRANSLATION):
        assert cost(by_second, quantities_of(operation, {}, heard)) == Decimal("0.00085")
        assert cost(by_second, quantities_of(operation, {}, Usage())) is None
        assert cost(by_token, quantities_of(operation, {}, Usage(input_tokens=10**6))) == 6
    assert cost(by_second, quantities_of(Operation.CHAT, {}, heard)) == Decimal("0.00085")
    assert cost(by_second, counted(Usage())) == 0


def test_a_configuration_goes_before_the_table_by_name_and_by_pattern() -> None:
    prices = {
        "openai/gpt-4o": PriceConfig(name="openai/gpt-4o", input=Decimal(1), output=Decimal(1)),
        "openai/gpt-4.1*": PriceConfig(name="openai/gpt-4.1*", currency="CNY", input=Decimal(7), lacks=("vision",)),
        "house/*": PriceConfig(name="house/*", image=Decimal("0.04"), context=100),
    }
    table = price_table(Config(prices=prices, rates={"CNY": Decimal("0.2")}))
    changed, by_pattern, house = (
        table.of("openai", "gpt-4o"),
        table.of("openai", "gpt-4.1-mini"),
        table.of("house", "x"),
    )
    assert changed is not None
    assert changed.input == 1
    assert by_pattern is not None
    assert (by_pattern.currency, by_pattern.lacks) == ("CNY", frozenset({Feature.VISION}))
    assert house is not None
    assert (cost(house, Quantities(images=2)), house.context) == (Decimal("0.08"), 100)
    assert table.convert(Decimal(10), "CNY", "USD") == 2
    assert table.convert(Decimal(10), "JPY", "USD") is None


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_costs_add_up_and_never_fall(first: int, second: int, out: int, cached: int) -> None:
    tariff = Tariff(input=Decimal("1.25"), cached_input=Decimal("0.125"), output=Decimal(10))
    both, one, other = (cost(tariff, usage(tokens, out)) for tokens in (first + second, first, second))
    nothing = cost(tariff, usage(0, out))
    assert both is not None
    assert one is not None
    assert other is not None
    assert nothing is not None
    assert both == one + other - nothing
    assert both >= one
    known = cost(tariff, usage(first, out, cached))
    most = estimate(tariff, first, out)
    assert known is not None
    assert most is not None
    assert known <= most, "an estimate is what it costs at most"


def test_the_highest_tier_that_is_reached_holds_for_all_of_it() -> None:
    tiers = (Tier(above=10, input=Decimal(2)), Tier(above=100, input=Decimal(3)))
    tariff = Tariff(input=Decimal(1), longer=tiers)
    assert [tariff.at(tokens).input for tokens in (10, 11, 100, 101)] == [1, 2, 2, 3]


def test_lookups_of_any_number_of_names_are_bounded() -> None:
    table = PriceTable({"a/*": Tariff(input=Decimal(1))})
    for number in range(10_000):
        assert table.of("a", str(number)) is not None
    assert len(table._found) <= 4096


def test_every_entry_is_of_a_known_vendor_and_was_looked_up_on_a_day() -> None:
    shipped = read_shipped()
    assert {name.partition("/")[0] for name in shipped.prices} <= {*VENDORS, "demo"}
    assert shipped.date.count("-") == 2
    assert all(price.input is not None or price.character is not None for price in shipped.prices.values())


NO_TABLES = {
    "empty": "",
    "no rates": "prices: {}",
    "misspelt": "date: x\nrates: {}\nprices: {a: {b: {inptu: 1}}}",
    "no mapping": "date: x\nrates: {}\nprices: {a: {b: 1}}",
}


@pytest.mark.parametrize("text", NO_TABLES.values(), ids=NO_TABLES)
def test_a_table_that_is_none_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_shipped(path)
    assert "\n" not in str(error.value)
