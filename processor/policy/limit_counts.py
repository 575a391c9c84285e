"""Counts what requests take of limits, in one process. Pure: `now` is an argument, in seconds since the epoch.

A minute is a sliding window of one-second buckets. The bucket that has only partly left it still counts, so the window
is 60 to 61 seconds long: never is more admitted in any 60 seconds than the limit allows, and 60/61 of it can be used.

A clock that is set back by up to a minute changes nothing; by more, and what was counted in its future is forgotten.
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
    """Buckets by second, from the oldest to the youngest."""

    __slots__ = ("_buckets", "_oldest", "_youngest", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._oldest = self._youngest = 0
        self.total = 0

    def advance(self, now: float) -> None:
        begins = int(now) - _WINDOW
        if self._oldest >= begins and self._youngest <= begins + 2 * _WINDOW:
            return
        if not begins <= self._youngest <= begins + 2 * _WINDOW:
            self._buckets.clear()
            self._oldest, self._youngest, self.total = int(now), 0, 0
        while self._oldest < begins:
            self.total -= self._buckets.pop(self._oldest)
            self._oldest = next(iter(self._buckets))

    def take(self, cost: int, now: float, _lease: str, _lease_for: float) -> int:
        # A clock that was set back must not put a bucket behind younger ones.
        second = self._youngest = max(int(now), self._youngest)
        if not self._buckets:
            self._oldest = second
        self._buckets[second] = self._buckets.get(second, 0) + cost
        self.total += cost
        return second

    def settle(self, slot: int, difference: int, now: float, _lease: str) -> None:
        self.advance(now)
        if (count := self._buckets.get(slot)) is not None:
            difference = max(difference, -count)
            self._buckets[slot] += difference
            self.total += difference

    def wait(self, missing: int, now: float) -> float:
        for second, count in self._buckets.items():
            missing -= count
            if missing <= 0:
                return second + _WINDOW + 1 - now
        return inf

    def reset(self, now: float) -> float:
        return self._youngest + _WINDOW + 1 - now if self.total else 0.0


class _Calendar:
    """One count, of the current day or month."""

    __slots__ = ("_begins", "_ends", "_slot", "total")

    def __init__(self) -> None:
        self._slot = self.total = 0
        self._begins = self._ends = 0.0

    def place(self, now: float) -> tuple[int, float, float]:
        """The number of the period, when it begins and when it ends."""
        day = int(now) // _DAY
        return day, day * _DAY, (day + 1) * _DAY

    def advance(self, now: float) -> None:
        if not self._begins - _WINDOW <= now < self._ends:
            self._slot, self._begins, self._ends = self.place(now)
            self.total = 0

    def take(self, cost: int, _now: float, _lease: str, _lease_for: float) -> int:
        self.total += cost
        return self._slot

    def settle(self, slot: int, difference: int, now: float, _lease: str) -> None:
        self.advance(now)
        if slot == self._slot:
            self.total = max(0, self.total + difference)

    def wait(self, _missing: int, now: float) -> float:
        return self._ends - now

    def reset(self, now: float) -> float:
        return self._ends - now


class _Month(_Calendar):
    __slots__ = ()

    def place(self, now: float) -> tuple[int, float, float]:
        month = month_of(now)
        return month, month_begins(month), month_begins(month + 1)


class _Leases:
    """Requests under way, and when each is given up for lost."""

    __slots__ = ("_expiries", "_first")

    def __init__(self) -> None:
        self._expiries: dict[str, float] = {}
        self._first = inf
        """No lease ends before."""

    @property
    def total(self) -> int:
        return len(self._expiries)

    def advance(self, now: float) -> None:
        if now >= self._first:
            self._expiries = {lease: ends for lease, ends in self._expiries.items() if ends > now}
            self._first = min(self._expiries.values(), default=inf)

    def take(self, _cost: int, now: float, lease: str, lease_for: float) -> int:
        ends = self._expiries[lease] = now + lease_for
        self._first = min(self._first, ends)
        return 0

    def settle(self, _slot: int, _difference: int, _now: float, lease: str) -> None:
        self._expiries.pop(lease, None)

    def wait(self, _missing: int, _now: float) -> float:
        return inf

    def reset(self, _now: float) -> float:
        return 0.0


_Counter = _Minute | _Calendar | _Leases

_KINDS: Mapping[Period, type[_Counter]] = {
    Period.MINUTE: _Minute,
    Period.DAY: _Calendar,
    Period.MONTH: _Month,
    Period.NOW: _Leases,
}


class LimitCounts:
    """All limits of a process: at most `most` of them, for a moment a request's limits more."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._counters: dict[str, _Counter] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float, now: float) -> Admission:
        """Take all of it, or nothing."""
        if len(self._counters) >= self._most:
            self._make_room(now)
        counters = [self._counter_of(charge.limit) for charge in charges]  # kept only if something is taken
        longest, refused = 0.0, -1
        for place, (charge, counter) in enumerate(zip(charges, counters, strict=True)):
            counter.advance(now)
            wait = _wait(charge, counter, now)
            if wait > longest:
                longest, refused = wait, place
        taken: tuple[Taken, ...] = ()
        if refused < 0:
            self._counters.update((c.limit.name, counter) for c, counter in zip(charges, counters, strict=True))
            taken = tuple(
                [
                    Taken(c, counter.take(c.cost, now, lease, lease_for))
                    for c, counter in zip(charges, counters, strict=True)
                ]
            )
        standings = tuple([_standing(c.limit, counter, now) for c, counter in zip(charges, counters, strict=True)])
        if refused < 0:
            return Admission(standings=standings, taken=taken)
        return Admission(
            standings=standings, refused=standings[refused], retry_after=None if longest == inf else longest
        )

    def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str, now: float) -> None:
        """Put what was really used in the place of what was reserved. To be called once for an admission."""
        for one in taken:
            name = one.charge.limit.name
            if counter := self._counters.get(name):
                counter.settle(one.slot, actual.get(name, 0) - one.charge.cost, now, lease)

    def peek(self, limits: Sequence[Limit], *, now: float) -> tuple[Standing, ...]:
        """How limits stand; one that nobody has asked for is not remembered for it."""
        counters = [self._counter_of(limit) for limit in limits]
        for counter in counters:
            counter.advance(now)
        return tuple([_standing(limit, counter, now) for limit, counter in zip(limits, counters, strict=True)])

    def _counter_of(self, limit: Limit) -> _Counter:
        return self._counters.get(limit.name) or _KINDS[limit.period]()

    def _make_room(self, now: float) -> None:
        """Of too many, those go of which nothing is taken; then those that are worth least.

        A quarter is freed, so that the next time is not soon.
        """
        for counter in self._counters.values():
            counter.advance(now)
        kept = [(name, counter) for name, counter in self._counters.items() if counter.total]
        if len(kept) > self._most * 3 // 4:
            kept.sort(key=lambda named: _worth(named[1], now), reverse=True)
            del kept[self._most * 3 // 4 :]
        self._counters = dict(kept)


def _worth(counter: _Counter, now: float) -> tuple[bool, float, int]:
    """More, the worse it is to forget: requests under way first, then what would be free latest, and was used most."""
    return isinstance(counter, _Leases), counter.reset(now), counter.total


def _wait(charge: Charge, counter: _Counter, now: float) -> float:
    """Seconds until there is room; 0: now, infinity: nobody can say, or never."""
    amount = charge.limit.amount
    missing = counter.total + charge.cost - amount
    if missing <= 0:
        return 0.0
    return inf if charge.cost > amount else counter.wait(missing, now)


def _standing(limit: Limit, counter: _Counter, now: float) -> Standing:
    return Standing(limit, max(0, limit.amount - counter.total), counter.reset(now))


def month_of(now: float) -> int:
    """Months since the year 0."""
    date = datetime.fromtimestamp(now, UTC)
    return date.year * 12 + date.month - 1


def month_begins(month: int) -> float:
    """Seconds since the epoch."""
    year, index = divmod(month, 12)
    return datetime(year, index + 1, 1, tzinfo=UTC).timestamp()
