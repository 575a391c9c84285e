"""Which of a model's targets are asked, and in which order: what a request needs, put to the policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice

from processor.domain import Operation
from processor.exchange.request_body import ReadBody
from processor.policy.affinity import affinity_key
from processor.policy.estimate import GENERATING
from processor.policy.health import Health, Healths
from processor.policy.needs import answer_tokens, features_needed, prompt_tokens
from processor.policy.ordering import ANYTHING, Place, Wanted, explain, order
from processor.topology import Model, Target

_PROMPT = ("system", "instructions", "messages", "input", "prompt")
"""Where endpoints have what a model reads, in the order in which it does."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request, as far as it decides who answers."""

    operation: Operation
    body: bytes
    read: ReadBody
    scope: str
    """Whose sessions and users these are: the gateway key's name."""
    session: str = ""

    @cached_property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, estimated: for the choice of a target and for the limits."""
        return prompt_tokens(self.body)

    @cached_property
    def answer_tokens(self) -> int | None:
        """The most tokens that the client wants; None where it does not say."""
        return answer_tokens(self.read.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Orders targets by what is known of them now."""

    healths: Healths
    clock: Callable[[], float]
    """Monotonic seconds."""
    chance: Callable[[], float]
    """Uniform in [0, 1)."""

    def targets(self, model: Model, question: Question) -> tuple[Target, ...]:
        """Those of the attempts: each that can answer, then again from the first.

        Raises:
            ClientError: no target can do what the request needs.
        """
        numbers = order(
            model.strategy,
            model.candidates,
            self._healths(model),
            now=self.clock(),
            draw=self.chance(),
            wanted=wanted(model, question),
        )
        attempts = min(model.attempts, 2 * len(numbers))
        return tuple(model.targets[number] for number in islice(cycle(numbers), attempts))

    def places(self, model: Model, question: Question) -> tuple[Place, ...]:
        """What would become of every target, and why."""
        return explain(
            model.strategy,
            model.candidates,
            self._healths(model),
            now=self.clock(),
            draw=self.chance(),
            wanted=wanted(model, question),
        )

    def _healths(self, model: Model) -> list[Health]:
        return [self.healths.of(target.key) for target in model.targets]


def wanted(model: Model, question: Question) -> Wanted:
    """What decides between the targets; nothing of it costs anything where nothing is to be decided."""
    if not (model.selective or model.affinity):
        return ANYTHING
    fields = question.read.fields
    chats = model.selective and question.operation in GENERATING
    return Wanted(
        needs=features_needed(fields) if chats and not model.drop_params else frozenset(),
        tokens=question.prompt_tokens + (question.answer_tokens or 0) if chats else 0,
        affinity=_affinity(model, question) if model.affinity else None,
    )


def _affinity(model: Model, question: Question) -> int | None:
    fields = question.read.fields
    return affinity_key(
        model.affinity,
        scope=question.scope,
        session=question.session,
        user=memoryview(fields.get("user", b"")),
        prompt=[memoryview(fields[name]) for name in _PROMPT if name in fields],
    )
