from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.accounting.join import Joiner, record, vendor_path
from processor.accounting.lines import AccessLine, Facts, Observation, access_line
from processor.domain import Mode, Operation, Usage, UsageRecord, UsageSource
from tests.unit.accounting.logs import PROVIDER_COUNT, access


def line(request_id: str = "r1", **changes: Any) -> AccessLine:
    read = access_line(access(request_id, **changes), 0)
    assert read is not None
    return read


def seen(request_id: str = "r1", **facts: str | float) -> Observation:
    return Observation(request_id, facts)


def operation_of(method: str, path: str) -> Operation:
    return Operation.CHAT if (method, path) == ("POST", "/v1/chat/completions") else Operation.OTHER


def joiner(**limits: Any) -> Joiner[int]:
    return Joiner(operation_of, **limits)


def join(joining: Joiner[int], now: float, **how: bool) -> list[UsageRecord]:
    return joining.join(now, **{"observed_all": True, **how})


def ids(records: list[UsageRecord]) -> list[str]:
    return [made.request_id for made in records]


def test_a_request_whose_final_count_is_in_envoys_line_is_recorded_at_once() -> None:
    joining = joiner()
    joining.finished(line(gateway=PROVIDER_COUNT), 0, now=0)
    (made,) = join(joining, 0)
    assert made.usage == Usage(input_tokens=10, output_tokens=5)
    assert made.usage_source is UsageSource.PROVIDER


@pytest.mark.parametrize("observed_first", [True, False])
def test_a_request_that_was_observed_is_recorded_at_once_with_what_was_observed(observed_first: bool) -> None:
    joining = joiner()
    if observed_first:
        joining.observed(seen(usage_source="partial", output_tokens=3.0), 0, now=0)
    joining.finished(line(), 0, now=0)
    if not observed_first:
        assert join(joining, 1) == []
        joining.observed(seen(usage_source="partial", output_tokens=3.0), 0, now=1)
    (made,) = join(joining, 1)
    assert (made.usage.output_tokens, made.usage_source) == (3, UsageSource.PARTIAL)


def test_an_unobserved_request_waits_for_its_grace_and_is_then_recorded_without_a_count() -> None:
    joining = joiner(grace=3.0)
    joining.finished(line(), 0, now=10)
    assert join(joining, 12.9) == []
    (made,) = join(joining, 13)
    assert (made.usage, made.usage_source) == (Usage(), UsageSource.NONE)
    assert join(joining, 99) == []


def test_grace_does_not_end_while_observations_are_still_unread() -> None:
    joining = joiner(grace=3.0)
    joining.finished(line(), 0, now=0)
    assert join(joining, 60, observed_all=False) == []
    joining.observed(seen(usage_source="provider", input_tokens=4.0), 0, now=60)
    assert join(joining, 60)[0].usage.input_tokens == 4


def test_at_the_end_nothing_waits() -> None:
    joining = joiner()
    joining.finished(line(), 0, now=0)
    assert ids(join(joining, 0, final=True)) == ["r1"]


def test_observed_facts_replace_envoys_and_later_ones_earlier() -> None:
    joining = joiner()
    joining.observed(seen(provider="ali", input_tokens=1.0, response_model="qwen"), 0, now=0)
    joining.observed(seen(input_tokens=2.0), 1, now=0)
    joining.finished(line(gateway={"provider": "zhipu", "input_tokens": 9, "key": "team-a"}), 0, now=0)
    joining.observed(seen(input_tokens=3.0), 2, now=0)
    (made,) = join(joining, 0)
    assert (made.provider, made.usage.input_tokens, made.response_model, made.key) == ("ali", 3, "qwen", "team-a")


def test_a_failed_attempts_count_of_nothing_does_not_stand_for_the_cut_one_that_followed() -> None:
    joining = joiner()
    joining.finished(line(flags="DC", attempts=2, gateway={"usage_source": "none"}), 0, now=0)
    assert join(joining, 0.1) == []
    joining.observed(seen(usage_source="partial", output_tokens=7.0), 0, now=0.2)
    assert join(joining, 0.2)[0].usage.output_tokens == 7


def test_where_envoy_answered_by_itself_its_error_is_the_one_the_client_got() -> None:
    own = line(details="upstream_per_try_timeout", error="upstream_timeout", gateway={"error": "earlier"})
    assert record(own, {}, operation_of).error == "upstream_timeout"
    assert record(line(error=None, gateway={"error": "told"}), {}, operation_of).error == "told"


FAILED = '[{"target":"a/a"},{"target":"b/b"},{"target":"c/c"}]'


@pytest.mark.parametrize(
    ("attempts", "heard", "flags", "before"),
    [
        (0, 0, "DC", 0),  # the client left before the first
        (1, 1, "DC", 0),
        (2, 2, "UF", 1),
        (3, 1, "URX,UF", 2),  # two that were never heard of
        (4, 4, "UC", 3),
        (1, 3, "UC", 2),  # two hosts that Envoy did not find, and did not count
        (1, 0, "UH", 3),  # none of them was found
        (9, 9, "UF", 3),
    ],
)
def test_of_a_request_that_nobody_answered_the_attempts_before_the_last_have_failed(
    attempts: int, heard: int, flags: str, before: int
) -> None:
    told: Facts = {"failed_attempts": FAILED, "heard_attempts": float(heard)}
    made = record(line(attempts=attempts, flags=flags), told, operation_of)
    assert [failed["target"] for failed in json.loads(made.failed_attempts or "[]")] == ["a/a", "b/b", "c/c"][:before]


@pytest.mark.parametrize("told", ["", "[", "{}", "1", "[" * 20_000])
def test_failed_attempts_that_cannot_be_read_are_none(told: str) -> None:
    assert record(line(), {"failed_attempts": told, "heard_attempts": 2.0}, operation_of).failed_attempts == ""


def test_the_attempts_that_failed_before_an_answer_are_told_as_they_are() -> None:
    assert record(line(gateway={"failed_attempts": FAILED}), {}, operation_of).failed_attempts == FAILED


def test_a_request_read_twice_is_recorded_once() -> None:
    joining = joiner()
    for mark in range(2):
        joining.finished(line(gateway=PROVIDER_COUNT), mark, now=0)
    assert ids(join(joining, 0)) == ["r1"]
    for mark in range(2):
        joining.finished(line("r2"), mark, now=0)
    assert ids(join(joining, 9)) == ["r2"]


def test_the_marks_stand_at_the_first_request_and_observation_that_are_still_needed() -> None:
    joining = joiner()
    assert (joining.oldest_request, joining.oldest_observation) == (None, None)
    joining.finished(line("a"), 100, now=0)
    joining.finished(line("b", gateway=PROVIDER_COUNT), 200, now=0)
    joining.observed(seen("late"), 10, now=0)
    joining.observed(seen("b"), 20, now=0)
    joining.observed(seen("late"), 30, now=0)
    assert ids(join(joining, 0)) == ["b"]
    assert (joining.oldest_request, joining.oldest_observation) == (100, 10)
    joining.observed(seen("a"), 40, now=1)
    joining.finished(line("late"), 300, now=1)
    assert ids(join(joining, 1)) == ["a", "late"]
    assert (joining.oldest_request, joining.oldest_observation) == (None, None)


def test_observations_of_running_requests_are_bounded_in_number_and_the_oldest_go_first() -> None:
    joining = joiner(orphans=2)
    for name in ("a", "b", "c"):
        joining.observed(seen(name, key=name), 0, now=0)
    assert joining.dropped == 1
    for name in ("a", "c"):
        joining.finished(line(name), 0, now=0)
    assert [made.key for made in join(joining, 9)] == ["c", ""]


def test_observations_of_running_requests_are_bounded_in_age() -> None:
    joining = joiner(orphan_age=3600)
    joining.observed(seen("a"), 0, now=0)
    join(joining, 3600)
    assert joining.dropped == 0
    join(joining, 3601)
    assert (joining.dropped, joining.oldest_observation) == (1, None)


def test_an_observation_that_comes_after_its_record_is_counted_and_holds_nothing_up() -> None:
    joining = joiner()
    joining.finished(line(), 0, now=0)
    join(joining, 3)
    joining.observed(seen(), 50, now=4)
    assert (joining.late, joining.oldest_observation) == (1, None)


def test_no_more_requests_are_read_than_may_be_written_again() -> None:
    joining = joiner(ahead=3)
    assert joining.room == 3
    joining.finished(line("waits"), 0, now=0)
    joining.finished(line("done", gateway=PROVIDER_COUNT), 0, now=0)
    join(joining, 0)
    assert joining.room == 1, "the one that is done counts while an older one waits"
    join(joining, 3)
    assert joining.room == 3


def test_many_observations_without_requests_ask_for_requests_first() -> None:
    joining = joiner(orphans=4)
    for name in "abc":
        joining.observed(seen(name), 0, now=0)
    assert joining.crowded


@pytest.mark.parametrize(
    ("route", "mode", "provider", "operation"),
    [
        ("openai.chat", Mode.OPENAI, "", Operation.CHAT),
        ("openai.models", Mode.OPENAI, "", Operation.MODELS),
        ("openai.from_the_future", Mode.OPENAI, "", Operation.OTHER),
        ("passthrough.tencent", Mode.PASSTHROUGH, "tencent", Operation.CHAT),
        ("passthrough.tencent.websocket", Mode.PASSTHROUGH, "tencent", Operation.CHAT),
        ("local.not_found", Mode.OPENAI, "", Operation.OTHER),
        ("", Mode.OPENAI, "", Operation.OTHER),
    ],
)
def test_mode_provider_and_operation_come_from_the_route(
    route: str, mode: Mode, provider: str, operation: Operation
) -> None:
    made = record(line(route=route, path="/tencent/v1/chat/completions"), {}, operation_of)
    assert (made.mode, made.provider, made.operation) == (mode, provider, operation)


def test_what_the_processor_says_of_operation_and_provider_goes_before_the_route() -> None:
    facts = {"operation": "messages", "provider": "anthropic"}
    made = record(line(route="passthrough.openai"), facts, operation_of)
    assert (made.operation, made.provider) == (Operation.MESSAGES, "anthropic")


def test_an_unknown_operation_or_source_is_as_none_said() -> None:
    made = record(line(), {"operation": "telepathy", "usage_source": "guess"}, operation_of)
    assert (made.operation, made.usage_source) == (Operation.CHAT, UsageSource.NONE)


@pytest.mark.parametrize(
    ("path", "vendors"),
    [
        ("/tencent/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/tencent/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/bytedance/api/v3/sauc/bigmodel", "/api/v3/sauc/bigmodel"),
        ("/ali/", "/"),
        ("/ali", "/"),
        ("", "/"),
    ],
)
def test_the_vendors_path_is_what_stands_behind_the_provider(path: str, vendors: str) -> None:
    assert vendor_path(path) == vendors


def test_every_field_of_a_record_is_filled() -> None:
    facts = {
        **PROVIDER_COUNT,
        "cached_input_tokens": 4,
        "reasoning_tokens": 2,
        "seconds": 2.5,
        "ttft_ms": 88.25,
        "cache": "miss",
        "error": "e",
        "key": "k",
    }
    facts |= {"request_model": "m", "response_model": "m-1", "provider": "ali"}
    made = record(line(flags="DC", gateway=facts), {}, operation_of)
    assert made == UsageRecord(
        request_id="r1",
        time=1795438442.115587,
        mode=Mode.OPENAI,
        operation=Operation.CHAT,
        method="POST",
        path="/v1/chat/completions",
        key="k",
        provider="ali",
        request_model="m",
        response_model="m-1",
        attempts=1,
        cache="miss",
        status=200,
        error="e",
        response_flags="DC",
        usage=Usage(input_tokens=10, output_tokens=5, cached_input_tokens=4, reasoning_tokens=2, seconds=2.5),
        usage_source=UsageSource.PROVIDER,
        ttft_ms=88.25,
        duration_ms=412.0,
        bytes_received=120,
        bytes_sent=840,
    )


@settings(deadline=None)
@given(st.permutations([("finished", n) for n in range(4)] + [("observed", n) for n in range(3)]), st.data())
def test_in_whatever_order_lines_come_each_request_is_recorded_once_with_its_count(
    events: list[tuple[str, int]], data: st.DataObject
) -> None:
    joining = joiner()
    made: list[UsageRecord] = []
    for kind, number in events:
        if kind == "finished":
            joining.finished(line(f"r{number}"), 0, now=0)
        else:
            joining.observed(seen(f"r{number}", input_tokens=number + 1.0), 0, now=0)
        if data.draw(st.booleans()):
            made += join(joining, 0)
    made += join(joining, 3)
    assert {m.request_id: m.usage.input_tokens for m in made} == {"r0": 1, "r1": 2, "r2": 3, "r3": 0}
    assert len(made) == 4
