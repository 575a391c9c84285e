"""In which order a model's targets are asked. Pure: chance comes in as one number, and nothing is changed.

First who can answer at all, then the strategy, then affinity, then circuits: the closed come before the half-open, and
those before the open. Only the foremost may be half-open ahead of others, so that its one probe is sent at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf, log
from typing import NamedTuple

from processor.domain import Feature
from processor.errors import ClientError
from processor.policy.circuit import State
from processor.policy.health import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a target before anything is asked of it. Made once for each target of a model."""

    name: str
    """What tells it apart; affinity follows it from process to process."""
    weight: int = 1
    """0: only if nobody else is left."""
    entry: int | None = None
    """Its place in the list of targets, which several keys of one provider share; None: a place of its own."""
    lacks: frozenset[Feature] = frozenset()
    context: int | None = None
    """Tokens that its model takes, prompt and answer; None when that is not known, and then any number."""
    seed: int = field(init=False, repr=False)
    """64 bits of its name."""

    def __post_init__(self) -> None:
        digest = blake2b(self.name.encode(), digest_size=8).digest()
        object.__setattr__(self, "seed", int.from_bytes(digest, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request needs of a target."""

    needs: frozenset[Feature] = frozenset()
    tokens: int = 0
    """Estimated, prompt and answer."""
    affinity: int | None = None
    """64 bits that requests have in common which should go to the same target."""


ANYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Place:
    """What became of a candidate, and why."""

    number: int
    """Of the candidate."""
    place: int | None
    """From 0; None: it is not asked at all."""
    reason: str


_Numbers = list[int]


class _Scene(NamedTuple):
    """What a strategy looks at."""

    candidates: Sequence[Candidate]
    healths: Sequence[Health]
    now: float
    draw: float


def order(
    strategy: str,
    candidates: Sequence[Candidate],
    healths: Sequence[Health],
    *,
    now: float,
    draw: float,
    wanted: Wanted = ANYTHING,
) -> tuple[int, ...]:
    """The numbers of the candidates that can answer, the best first.

    `strategy` is one of `STRATEGIES`; `healths` are those of the candidates; `draw` is uniform in [0, 1).

    Raises:
        ClientError: no candidate can do what is wanted; the message says what each of them lacks.
    """
    able = eligible(candidates, wanted)
    if len(able) == 1:
        return (able[0],)
    scene = _Scene(candidates, healths, now, draw)
    willing = [number for number in able if healths[number].circuit.admits(now)]
    arranged = STRATEGIES[strategy](scene, willing)
    if wanted.affinity is not None:
        arranged = _preferred(scene, arranged, wanted.affinity)
    if not all(healths[number].circuit.closed for number in able):
        arranged = _by_circuit(scene, arranged, able)
    return tuple(arranged)


def eligible(candidates: Sequence[Candidate], wanted: Wanted = ANYTHING) -> _Numbers:
    """The candidates that can do what is wanted, in their own order.

    Those whose context is too small by the estimate are left out, unless all are: then those with the largest stay,
    since the estimate is rough, and their vendor knows.

    Raises:
        ClientError: none can.
    """
    needs, tokens = wanted.needs, wanted.tokens
    able = [number for number, candidate in enumerate(candidates) if not (needs and candidate.lacks & needs)]
    if not able:
        raise _unable(candidates, needs)
    if not tokens:
        return able
    roomy = [number for number in able if _room(candidates[number]) >= tokens]
    if roomy:
        return roomy
    most = max(_room(candidates[number]) for number in able)
    return [number for number in able if _room(candidates[number]) == most]


def roomier(candidates: Sequence[Candidate], tried: int, rest: Sequence[int]) -> tuple[int, ...]:
    """Those of the rest with a context known to be larger than that of the one for which the request was too long."""
    room = candidates[tried].context or 0
    return tuple(number for number in rest if (candidates[number].context or 0) > room)


def explain(
    strategy: str,
    candidates: Sequence[Candidate],
    healths: Sequence[Health],
    *,
    now: float,
    draw: float,
    wanted: Wanted = ANYTHING,
) -> tuple[Place, ...]:
    """What `order` makes of every candidate, and why: those that would be asked in their order, then the others.

    Raises nothing: where no candidate can answer, none has a place.
    """
    try:
        numbers = order(strategy, candidates, healths, now=now, draw=draw, wanted=wanted)
    except ClientError:
        numbers = ()
    preferred = None if wanted.affinity is None or not numbers else numbers[0]
    places = []
    for place, number in enumerate(numbers):
        reason = _reason(candidates[number], healths[number], now)
        if number == preferred and healths[number].circuit.state(now) is not State.OPEN:
            reason = f"preferred by affinity; {reason}"
        places.append(Place(number, place, reason))
    left_out = (number for number in range(len(candidates)) if number not in numbers)
    return (*places, *(Place(number, None, _shortcoming(candidates[number], wanted)) for number in left_out))


def _listed(scene: _Scene, numbers: _Numbers) -> _Numbers:
    """As they are listed; the keys of one provider by chance, so that they share the load."""
    entries = {scene.candidates[number].entry for number in numbers}
    if len(entries) == len(numbers) or None in entries:
        return numbers
    arranged = _weighted(scene, numbers)
    arranged.sort(key=lambda number: scene.candidates[number].entry or 0)
    return arranged


def _weighted(scene: _Scene, numbers: _Numbers) -> _Numbers:
    return shuffled([candidate.weight for candidate in scene.candidates], scene.draw, numbers)


def _least_busy(scene: _Scene, numbers: _Numbers) -> _Numbers:
    arranged = _weighted(scene, numbers)
    arranged.sort(key=lambda number: _load(scene.candidates[number], scene.healths[number]))
    return arranged


def _load(candidate: Candidate, health: Health) -> float:
    return health.in_flight / candidate.weight if candidate.weight else inf


def _latency(scene: _Scene, numbers: _Numbers) -> _Numbers:
    """The faster of two that chance picks: if all went to the fastest, it would not be that for long."""
    arranged = _weighted(scene, numbers)
    if len(arranged) > 1 and scene.candidates[arranged[1]].weight:
        first, second = arranged[:2]
        if _slowness(scene.healths[second], scene.now) < _slowness(scene.healths[first], scene.now):
            arranged[:2] = second, first
    return arranged


def _slowness(health: Health, now: float) -> float:
    """Seconds to the first token. One request finds out an unknown one, while others go where it is known."""
    known = health.ttft(now)
    if known is not None:
        return known
    return inf if health.in_flight else -1.0


STRATEGIES: Mapping[str, Callable[[_Scene, _Numbers], _Numbers]] = {
    "weighted": _weighted,
    "failover": _listed,
    "least_busy": _least_busy,
    "latency": _latency,
}


def shuffled(weights: Sequence[int], draw: float, numbers: Sequence[int]) -> _Numbers:
    """These numbers in random order: the first by weight, the next by weight among the rest; those of no weight last.

    What is left of the draw after each choice is uniform again, and makes the next.
    """
    rest = [number for number in numbers if weights[number] > 0]
    idle = [number for number in numbers if weights[number] <= 0]
    total = sum(weights[number] for number in rest)
    arranged = []
    while len(rest) > 1:
        place, draw = _picked([weights[number] for number in rest], draw * total)
        total -= weights[rest[place]]
        arranged.append(rest.pop(place))
    return [*arranged, *rest, *idle]


def _picked(weights: Sequence[int], aim: float) -> tuple[int, float]:
    """The place at which the sum of weights passes `aim`, and how far into its weight that is: in [0, 1]."""
    last = len(weights) - 1
    for place, weight in enumerate(weights):
        if aim < weight or place == last:
            return place, min(aim / weight, 1.0)
        aim -= weight
    raise ValueError("there are no weights to pick from")


def _preferred(scene: _Scene, arranged: _Numbers, key: int) -> _Numbers:
    """The same, but first of all whom the key belongs to.

    Each candidate draws a number from the key by itself, and the highest wins: when one goes away only its own
    keys move, and when it comes back they come back.
    """
    claims = [(_claim(scene.candidates[number], key), number) for number in arranged if scene.candidates[number].weight]
    if not claims:
        return arranged
    owner = max(claims)[1]
    return [owner, *(number for number in arranged if number != owner)]


_MASK = (1 << 64) - 1


def _claim(candidate: Candidate, key: int) -> float:
    """A candidate's claim to a key: weighted rendezvous hashing, with SplitMix64's finalizer for a hash."""
    mixed = (key ^ candidate.seed) & _MASK
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
    mixed ^= mixed >> 31
    return candidate.weight / -log((mixed + 0.5) / 2.0**64) if mixed < _MASK else inf


def _by_circuit(scene: _Scene, arranged: _Numbers, able: _Numbers) -> _Numbers:
    """The foremost, then the closed, the half-open, and those that take no request now, the soonest first."""
    circuits = [health.circuit for health in scene.healths]
    front, rest = arranged[:1], arranged[1:]
    rest.sort(key=lambda number: not circuits[number].closed)
    unwilling = [number for number in able if number not in arranged]
    unwilling.sort(key=lambda number: circuits[number].remaining(scene.now))
    return [*front, *rest, *unwilling]


def _room(candidate: Candidate) -> float:
    return inf if candidate.context is None else candidate.context


def _unable(candidates: Sequence[Candidate], needs: frozenset[Feature]) -> ClientError:
    lacks = "; ".join(f"{candidate.name} has no {_named(candidate.lacks & needs)}" for candidate in candidates)
    return ClientError(f"No target of this model can do what the request needs: {lacks}.", code="unsupported_feature")


def _named(features: frozenset[Feature]) -> str:
    return ", ".join(sorted(features))


def _shortcoming(candidate: Candidate, wanted: Wanted) -> str:
    if lacking := candidate.lacks & wanted.needs:
        return f"left out: has no {_named(lacking)}"
    return f"left out: takes {candidate.context} tokens, the request has about {wanted.tokens}"


def _reason(candidate: Candidate, health: Health, now: float) -> str:
    snapshot = health.snapshot(now)
    ttft = "unknown" if snapshot.ttft is None else f"{snapshot.ttft:.2f} s"
    facts = f"weight {candidate.weight}, {snapshot.in_flight} in flight, first token {ttft}"
    if snapshot.state is State.CLOSED:
        return f"closed; {facts}"
    if snapshot.state is State.HALF_OPEN:
        return f"half-open, one probe at a time ({snapshot.why}); {facts}"
    return f"open for {snapshot.remaining:.1f} s more ({snapshot.why}); {facts}"
