"""Tasks that vendors work on after they have answered: asked about until all of them are finished, or too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from processor.dialects.base import ClientResponse, Pending, UpstreamRequest
from processor.dialects.images import Finished
from processor.errors import UpstreamUnavailable
from processor.wire.json import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a task is asked about."""

    waits: tuple[float, ...] = (1, 2, 3, 4, 5)
    """Seconds before each question; the last before all that follow."""
    limit: float = 600
    """Seconds of waiting in all."""

    def wait(self, questions: int) -> float:
        """Seconds before the next, when so many have been asked."""
        return self.waits[min(questions, len(self.waits) - 1)]


class Tasks(Protocol):
    """A vendor's tasks. An answer of theirs, to the order or to a question, says how a task stands."""

    @property
    def patience(self) -> Patience:
        """How long it may take."""
        ...

    def read(self, body: bytes) -> JSON:
        """Parse an answer.

        Raises:
            UpstreamError: it is an error, or not the vendor's protocol.
        """
        ...

    def question(self, order: JSON) -> UpstreamRequest:
        """What to ask about the task that an order's answer names.

        Raises:
            UpstreamError: it names none.
        """
        ...

    def is_done(self, answer: JSON) -> bool:
        """Whether a task is finished by this answer, the order's or a later one.

        Raises:
            UpstreamError: it has failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    """Tasks under way."""

    tasks: Tasks
    calls: list[UpstreamRequest]
    """The question about each."""
    finished: Finished

    def next(self, answers: list[JSON], *, asked: int, waited: float) -> ClientResponse | Pending:
        """The client's answer, or the next questions about the tasks that are not done."""
        open_ = [index for index, answer in enumerate(answers) if not self.tasks.is_done(answer)]
        if not open_:
            return self.finished(answers)
        patience = self.tasks.patience
        wait = patience.wait(asked)
        if waited + wait > patience.limit:
            message = f"The vendor's task did not finish within {patience.limit:g} seconds."
            raise UpstreamUnavailable(message, status=504, code="task_timeout")

        def then(bodies: tuple[bytes, ...]) -> ClientResponse | Pending:
            told = dict(zip(open_, map(self.tasks.read, bodies), strict=True))
            latest = [told.get(index, answer) for index, answer in enumerate(answers)]
            return self.next(latest, asked=asked + 1, waited=waited + wait)

        return Pending(calls=tuple(self.calls[index] for index in open_), then=then, wait=wait)


def watched(tasks: Tasks, orders: list[JSON], finished: Finished) -> ClientResponse | Pending:
    """What is made of the tasks' last answers, once all are done.

    Raises:
        UpstreamError: one has failed.
        UpstreamUnavailable: the limit is reached: 504, `task_timeout`.
    """
    watch = _Watch(tasks=tasks, calls=[tasks.question(order) for order in orders], finished=finished)
    return watch.next(orders, asked=0, waited=0)
