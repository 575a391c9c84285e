"""What a client is told of its limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.limit_headers import duration, in_words, limit_headers
from processor.policy.limits import Limit, Period, Standing, Unit


def limit(unit: Unit, period: Period, amount: int, subject: str = "key:a") -> Limit:
    return Limit(subject=subject, unit=unit, period=period, amount=amount)


def test_of_several_limits_a_minute_the_tightest_is_told_and_all_of_them_as_policies() -> None:
    standings = [
        Standing(limit(Unit.REQUESTS, Period.MINUTE, 600), 599, 59.4),
        Standing(limit(Unit.REQUESTS, Period.MINUTE, 100, "team:t"), 7, 30.0),
        Standing(limit(Unit.TOKENS, Period.DAY, 10**6), 5, 3600.0),
        Standing(limit(Unit.REQUESTS, Period.NOW, 4), 3, 0.0),
    ]
    told = dict(limit_headers(standings))
    assert told["x-ratelimit-limit-requests"] == "100"
    assert told["x-ratelimit-remaining-requests"] == "7"
    assert told["x-ratelimit-reset-requests"] == "30s"
    assert not [name for name in told if name.endswith("-tokens")], "OpenAI's are of a minute"
    assert told["ratelimit-policy"].count("q=") == 3
    assert told["ratelimit"].split(", ")[0] == '"key:a requests/minute";r=599;t=60'


def test_without_limits_nothing_is_told() -> None:
    assert limit_headers([]) == ()


@given(st.text())
def test_no_name_breaks_a_header(name: str) -> None:
    standing = Standing(limit(Unit.REQUESTS, Period.MINUTE, 1, f"key:{name}"), 0, 1.0)
    for _, value in limit_headers([standing]):
        assert value.isascii()
        assert value.isprintable()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.12, "120ms"), (7.5, "7.5s"), (59.9, "59.9s"), (360, "6m0s"), (86399, "23h59m59s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_limit_in_words() -> None:
    assert in_words(limit(Unit.MONEY, Period.DAY, 2_500_000)) == "2.5 USD per day of key a"
    assert in_words(limit(Unit.REQUESTS, Period.NOW, 4, "model:m")) == "4 requests at a time of model m"
    assert in_words(limit(Unit.TOKENS, Period.MINUTE, 9, "team:t")) == "9 tokens per minute of team t"
