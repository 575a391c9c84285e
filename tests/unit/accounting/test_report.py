from __future__ import annotations

import json
from typing import Any

import pytest

from processor.accounting.report import By, plain, summarize, table
from processor.domain import Mode, Operation, Usage, UsageRecord, UsageSource
from processor.wire.json import encode

PROVIDER, PARTIAL, ESTIMATED = UsageSource.PROVIDER, UsageSource.PARTIAL, UsageSource.ESTIMATED


def record(
    request_model: str = "chat-fast", *, tokens: tuple[int, int, int, int] = (0, 0, 0, 0), **fields: Any
) -> UsageRecord:
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
    counts: dict[str, Any] = dict(zip(names, tokens, strict=True))
    usage = Usage(**counts)
    defaults: dict[str, Any] = {
        "request_id": "r",
        "time": 0.0,
        "mode": Mode.OPENAI,
        "operation": Operation.CHAT,
        "status": 200,
    }
    return UsageRecord(request_model=request_model, usage=usage, **defaults | fields)


def day(time: float) -> str:
    return f"day {time:.0f}"


RECORDS = (
    record("small", tokens=(1, 0, 1, 0), usage_source=PROVIDER, ttft_ms=100.0, key="team-a", provider="ali", time=2),
    record(
        "large",
        tokens=(1000, 400, 2000, 500),
        usage_source=PROVIDER,
        ttft_ms=900.0,
        key="team-b",
        provider="ali",
        time=1,
    ),
    record(
        "large", tokens=(500, 0, 100, 0), usage_source=PARTIAL, ttft_ms=1100.0, key="team-b", provider="zhipu", time=1
    ),
    record("large", status=429, time=2),
    record("", status=0, time=2),
)


def test_the_table_adds_up_each_model_with_the_most_tokens_first() -> None:
    assert table(summarize(RECORDS, By.MODEL, day=day)) == (
        "model   requests  errors  input  cached  output  reasoning  estimated  TTFT p50\n"
        "large          3       1  1,500     400   2,100        500      50.0%  1,000 ms\n"
        "small          1       0      1       0       1          0       0.0%    100 ms\n"
        "(none)         1       1      0       0       0          0          -         -\n"
        "total          5       2  1,501     400   2,101        500      33.3%    900 ms"
    )


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (By.KEY, ["team-b", "team-a", "(none)"]),
        (By.PROVIDER, ["ali", "zhipu", "(none)"]),
        (By.DAY, ["day 1", "day 2"]),
    ],
)
def test_records_are_grouped_by_key_provider_or_day(by: By, names: list[str]) -> None:
    report = summarize(RECORDS, by, day=day)
    assert [group.name for group in report.groups] == names
    assert sum(group.requests for group in report.groups) == report.total.requests == 5


def test_a_passthrough_model_is_taken_from_the_answer_where_the_request_does_not_name_it() -> None:
    report = summarize([record("", response_model="glm-5"), record("a", response_model="b")], By.MODEL, day=day)
    assert [group.name for group in report.groups] == ["a", "glm-5"]


def test_one_group_needs_no_total() -> None:
    assert table(summarize(RECORDS[:1], By.MODEL, day=day)).count("\n") == 1


@pytest.mark.parametrize(
    ("status", "is_error"), [(0, True), (101, False), (200, False), (302, False), (400, True), (503, True)]
)
def test_an_error_is_an_answer_of_400_or_above_or_none(status: int, is_error: bool) -> None:
    assert summarize([record(status=status)], By.MODEL, day=day).total.errors == is_error


def test_estimated_counts_are_a_share_of_the_requests_that_have_counts() -> None:
    sources = [PROVIDER, PROVIDER, PARTIAL, ESTIMATED, UsageSource.NONE, UsageSource.NONE]
    report = summarize([record(usage_source=source) for source in sources], By.MODEL, day=day)
    assert report.total.unsure_share == 0.5


def test_columns_stay_aligned_where_names_are_wide() -> None:
    lines = table(summarize([record("文心"), record("abcd")], By.MODEL, day=day)).splitlines()
    assert lines[1].startswith("abcd   ")
    assert lines[2].startswith("文心   ")


def test_as_json_the_sums_have_the_records_names() -> None:
    shown = json.loads(encode(plain(summarize(RECORDS[:2], By.PROVIDER, day=day))))
    sums = {
        "requests": 2,
        "errors": 0,
        "input_tokens": 1001,
        "cached_input_tokens": 400,
        "output_tokens": 2001,
        "reasoning_tokens": 500,
        "cost": {},
        "estimated_share": 0.0,
        "ttft_p50_ms": 500.0,
    }
    assert shown == {"by": "provider", "groups": [{"provider": "ali", **sums}], "total": sums}


def test_nothing_recorded_is_no_group() -> None:
    report = summarize([], By.MODEL, day=day)
    assert (report.groups, report.total.requests, report.total.ttft_p50_ms) == ([], 0, None)


def test_costs_are_summed_exactly_by_currency_and_shown_where_there_are_any() -> None:
    paid = [
        record(team="search", cost="0.1", currency="USD"),
        record(team="search", cost="0.2", currency="USD"),
        record(team="search", cost="3", currency="CNY"),
        record(team="other"),
    ]
    report = summarize(paid, By.TEAM, day=day)
    assert plain(report)["total"]["cost"] == {"CNY": "3", "USD": "0.3"}  # type: ignore[index]
    heading, *rows = table(report).splitlines()
    assert heading.endswith("cost")
    assert next(row for row in rows if row.startswith("search")).endswith("3.0000 CNY + 0.3000 USD")
    assert next(row for row in rows if row.startswith("other")).endswith("-")
