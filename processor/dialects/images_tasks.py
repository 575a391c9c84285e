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

    def question(self, answer: JSON) -> UpstreamRequest | None:
        """What to ask about a task that had this answer; None if it is finished.

        Raises:
            UpstreamError: it has failed, or it is no task.
        """
        ...

    def read(self, body: bytes) -> JSON:
        """Parse an answer.

        Raises:
            UpstreamError: it is an error, or not the vendor's protocol.
        """
        ...


def watched(
    tasks: Tasks, answers: list[JSON], finished: Finished, *, questions: int = 0, waited: float = 0.0
) -> ClientResponse | Pending:
    """The client's answer, made of the tasks' last answers, or the next questions.

    Raises:
        UpstreamUnavailable: the limit is reached, with 504 and `task_timeout`.
    """
    asking = {index: call for index, answer in enumerate(answers) if (call := tasks.question(answer)) is not None}
    if not asking:
        return finished(answers)
    wait = tasks.patience.wait(questions)
    if waited + wait > tasks.patience.limit:
        message = f"The vendor's task did not finish within {tasks.patience.limit:g} seconds."
        raise UpstreamUnavailable(message, status=504, code="task_timeout")

    def then(bodies: tuple[bytes, ...]) -> ClientResponse | Pending:
        told = dict(zip(asking, map(tasks.read, bodies), strict=True))
        latest = [told.get(index, answer) for index, answer in enumerate(answers)]
        return watched(tasks, latest, finished, questions=questions + 1, waited=waited + wait)

    return Pending(calls=tuple(asking.values()), then=then, wait=wait)
