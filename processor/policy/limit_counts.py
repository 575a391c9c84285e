"""Counts what requests take of limits, in one process. Pure: `now` is an argument, in seconds since the epoch.

A minute is a sliding window of one-second buckets. The bucket that has only partly left it still counts, so the window
is 60 to 61 seconds long: never is more admitted in any 60 seconds than the limit allows, and 60/61 of it can be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf

from processor.policy.limits import Admission, Charge, Limit, Period, Standing, Taken

_WINDOW = 60
_DAY = 86_400
_MOST = 100_000
"""Limits that are kept. Keys come and go, and so do their limits."""


class _Minute:
    """Buckets by second."""

    __slots__ = ("_buckets", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.total = 0

    def advance(self, now: float) -> None:
        oldest = int(now) - _WINDOW
        while self._buckets and (second := next(iter(self._buckets))) < oldest:
            self.total -= self._buckets.pop(second)

    def add(self, now: float, cost: int) -> int:
        # A clock that was set back must not put a bucket behind younger ones.
        second = max(int(now), next(reversed(self._buckets), 0))
        self._buckets[second] = self._buckets.get(second, 0) + cost
        self.total += cost
        return second

    def correct(self, slot: int, difference: int, now: float) -> None:
        self.advance(now)
        if slot in self._buckets:
            self._buckets[slot] += difference
            self.total += difference

    def wait(self, now: float, missing: int) -> float:
        freed = 0
        for second, count in self._buckets.items():
            freed += count
            if freed >= missing:
                return second + _WINDOW + 1 - now
        return inf

    def reset(self, now: float) -> float:
        return max(0.0, next(reversed(self._buckets)) + _WINDOW + 1 - now) if self._buckets else 0.0


class _Calendar:
    """One count, of the current day or month."""

    __slots__ = ("_month", "_slot", "total")

    def __init__(self, *, month: bool) -> None:
        self._month = month
        self._slot = 0
        self.total = 0

    def advance(self, now: float) -> None:
        slot = month_of(now) if self._month else int(now) // _DAY
        if slot > self._slot:
            self._slot, self.total = slot, 0

    def add(self, now: float, cost: int) -> int:  # noqa: ARG002 - `advance` has come before
        self.total += cost
        return self._slot

    def correct(self, slot: int, difference: int, now: float) -> None:
        self.advance(now)
        if slot == self._slot:
            self.total += difference

    def wait(self, now: float, missing: int) -> float:  # noqa: ARG002 - nothing is freed before the end
        return self.reset(now)

    def reset(self, now: float) -> float:
        end = month_begins(self._slot + 1) if self._month else (self._slot + 1) * _DAY
        return max(0.0, end - now)


class _Leases:
    """Requests under way, and when each is given up for lost."""

    __slots__ = ("_expiries",)

    def __init__(self) -> None:
        self._expiries: dict[str, float] = {}

    @property
    def total(self) -> int:
        return len(self._expiries)

    def advance(self, now: float) -> None:
        while self._expiries and self._expiries[lease := next(iter(self._expiries))] <= now:
            del self._expiries[lease]

    def take(self, lease: str, expires: float) -> None:
        self._expiries[lease] = expires

    def release(self, lease: str) -> None:
        self._expiries.pop(lease, None)


_Counter = _Minute | _Calendar


class LimitCounts:
    """All limits of a process."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._leases: dict[str, _Leases] = {}

    def __len__(self) -> int:
        return len(self._counters) + len(self._leases)

    def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float, now: float) -> Admission:
        """Take all of it, or nothing."""
        refused: tuple[float, Limit] | None = None
        for charge in charges:
            wait = self._wait(charge, now)
            if wait > 0 and (refused is None or wait > refused[0]):
                refused = (wait, charge.limit)
        taken = () if refused else tuple(self._take(charge, lease, lease_for, now) for charge in charges)
        standings = tuple(self._standing(charge.limit, now) for charge in charges)
        if refused is None:
            return Admission(standings=standings, lease=lease, taken=taken)
        wait, limit = refused
        standing = next(standing for standing in standings if standing.limit is limit)
        return Admission(standings=standings, refused=standing, retry_after=None if wait == inf else wait)

    def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str, now: float) -> None:
        """Put what was really used in the place of what was reserved. To be called once for an admission."""
        for one in taken:
            limit = one.charge.limit
            if limit.period is Period.NOW:
                if leases := self._leases.get(limit.name):
                    leases.release(lease)
            elif counter := self._counters.get(limit.name):
                counter.correct(one.slot, actual.get(limit.name, 0) - one.charge.cost, now)

    def peek(self, limits: Sequence[Limit], *, now: float) -> tuple[Standing, ...]:
        """How limits stand."""
        return tuple(self._standing(limit, now) for limit in limits)

    def _wait(self, charge: Charge, now: float) -> float:
        """Seconds until there is room; 0: now, infinity: nobody can say, or never."""
        limit = charge.limit
        if limit.period is Period.NOW:
            leases = self._leases_of(limit)
            leases.advance(now)
            return 0.0 if leases.total < limit.amount else inf
        counter = self._counter_of(limit)
        counter.advance(now)
        missing = counter.total + charge.cost - limit.amount
        if missing <= 0:
            return 0.0
        return inf if charge.cost > limit.amount else counter.wait(now, missing)

    def _take(self, charge: Charge, lease: str, lease_for: float, now: float) -> Taken:
        limit = charge.limit
        if limit.period is Period.NOW:
            self._leases_of(limit).take(lease, now + lease_for)
            return Taken(charge, 0)
        return Taken(charge, self._counter_of(limit).add(now, charge.cost))

    def _standing(self, limit: Limit, now: float) -> Standing:
        if limit.period is Period.NOW:
            leases = self._leases_of(limit)
            leases.advance(now)
            return Standing(limit, max(0, limit.amount - leases.total), 0.0)
        counter = self._counter_of(limit)
        counter.advance(now)
        return Standing(limit, max(0, limit.amount - counter.total), counter.reset(now))

    def _counter_of(self, limit: Limit) -> _Counter:
        counter = self._counters.get(limit.name)
        if counter is None:
            self._make_room()
            counter = _Minute() if limit.period is Period.MINUTE else _Calendar(month=limit.period is Period.MONTH)
            self._counters[limit.name] = counter
        return counter

    def _leases_of(self, limit: Limit) -> _Leases:
        leases = self._leases.get(limit.name)
        if leases is None:
            self._make_room()
            leases = self._leases[limit.name] = _Leases()
        return leases

    def _make_room(self) -> None:
        """Of too many, those go of which nothing is taken; then, if need be, all."""
        if len(self) < _MOST:
            return
        self._counters = {name: counter for name, counter in self._counters.items() if counter.total}
        self._leases = {name: leases for name, leases in self._leases.items() if leases.total}
        if len(self) >= _MOST:
            self._counters.clear()


def month_of(now: float) -> int:
    """Months since the year 0."""
    date = datetime.fromtimestamp(now, UTC)
    return date.year * 12 + date.month - 1


def month_begins(month: int) -> float:
    """Seconds since the epoch."""
    year, index = divmod(month, 12)
    return datetime(year, index + 1, 1, tzinfo=UTC).timestamp()
