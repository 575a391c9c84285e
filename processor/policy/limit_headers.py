"""What a client is told of its limits: OpenAI's headers, and the IETF's. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import ceil

from processor.policy.limits import MILLIONTHS, Limit, Period, Standing, Unit

HeaderPairs = tuple[tuple[str, str], ...]

_SECONDS = {Period.MINUTE: 60, Period.DAY: 86_400, Period.MONTH: 30 * 86_400}
"""The window that `RateLimit-Policy` names; months differ by a day or two."""
_PARTITIONS = {Unit.REQUESTS: "requests", Unit.TOKENS: "tokens", Unit.MONEY: "money"}
_UNSAFE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""What no quoted string of a structured field may hold."""


def limit_headers(standings: Sequence[Standing]) -> HeaderPairs:
    """`x-ratelimit-*` for the tightest of the limits a minute, and `RateLimit` with its policy for all of them.

    OpenAI's have one set for requests and one for tokens: developers.openai.com, rate limits in headers. The IETF's are
    draft-ietf-httpapi-ratelimit-headers: a list of policies by name, with quota, window and unit.
    """
    return (*_openai(standings), *_ietf([standing for standing in standings if standing.limit.period in _SECONDS]))


def _openai(standings: Iterable[Standing]) -> Iterable[tuple[str, str]]:
    by_minute = [standing for standing in standings if standing.limit.period is Period.MINUTE]
    for unit, word in ((Unit.REQUESTS, "requests"), (Unit.TOKENS, "tokens")):
        tightest = min(
            (standing for standing in by_minute if standing.limit.unit is unit), key=_left_over, default=None
        )
        if tightest:
            yield f"x-ratelimit-limit-{word}", str(tightest.limit.amount)
            yield f"x-ratelimit-remaining-{word}", str(tightest.remaining)
            yield f"x-ratelimit-reset-{word}", duration(tightest.reset)


def _left_over(standing: Standing) -> int:
    return standing.remaining


def _ietf(standings: Sequence[Standing]) -> Iterable[tuple[str, str]]:
    if not standings:
        return
    policies = (
        f"{_name(standing.limit)};q={standing.limit.amount};w={_SECONDS[standing.limit.period]}"
        f';qu="{_PARTITIONS[standing.limit.unit]}"'
        for standing in standings
    )
    yield "ratelimit-policy", ", ".join(policies)
    yield (
        "ratelimit",
        ", ".join(f"{_name(standing.limit)};r={standing.remaining};t={ceil(standing.reset)}" for standing in standings),
    )


def _name(limit: Limit) -> str:
    return f'"{_UNSAFE.sub("_", limit.name)}"'


def duration(seconds: float) -> str:
    """`120ms`, `7.5s`, `6m0s`, `23h59m59s`: as OpenAI writes how long a limit takes to be whole again."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def in_words(limit: Limit) -> str:
    """`200000 tokens per minute of key team-a`."""
    owner, _, name = limit.subject.partition(":")
    if limit.unit is Unit.MONEY:
        return f"{limit.amount / MILLIONTHS:g} USD per {limit.period} of {owner} {name}"
    if limit.period is Period.NOW:
        return f"{limit.amount} requests at a time of {owner} {name}"
    return f"{limit.amount} {limit.unit} per {limit.period} of {owner} {name}"
