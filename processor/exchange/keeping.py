"""Answers that are kept, and serve those who ask the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from processor import names
from processor.config import KeyConfig
from processor.domain import CacheVerdict, Operation, UsageSource
from processor.exchange.choosing import Question
from processor.exchange.messages import Abort, Action, Begin, EndTrailers, HeaderPairs, Respond, Send
from processor.policy.answer_key import answer_key
from processor.ports import AnswerStore, KeptAnswer
from processor.topology import Keeping, Model, Scope

_KEPT = frozenset(
    {Operation.CHAT, Operation.TEXT_COMPLETION, Operation.MESSAGES}
    | {Operation.EMBEDDINGS, Operation.RERANK, Operation.MODERATIONS}
)
"""What is answered in text, and leaves nothing at the vendor that a client may ask for later."""
_LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that is kept."""
_WHOLE = frozenset({UsageSource.PROVIDER, UsageSource.ESTIMATED})


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the answer to a request is kept."""

    key: str
    seconds: float
    fresh: bool
    """Whether the client wants no earlier one."""


class Keeper:
    """Finds and keeps answers."""

    def __init__(self, store: AnswerStore, epoch: Callable[[], float]) -> None:
        """`epoch` tells seconds since then."""
        self._store = store
        self._epoch = epoch
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, entry: Entry) -> KeptAnswer | None:
        """The answer, unless the client wants none of an earlier time."""
        return None if entry.fresh else await self._store.get(entry.key)

    def keep(self, entry: Entry, answer: KeptAnswer) -> None:
        """Keep it, beside the requests."""
        task = asyncio.get_running_loop().create_task(self._store.put(entry.key, answer, keep_for=entry.seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for those that are being kept."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def served(self, answer: KeptAnswer, limits: HeaderPairs, facts: Mapping[str, str | float]) -> Respond:
        """A kept answer in the place of a new one."""
        headers = (
            ("content-type", answer.content_type),
            ("age", str(max(0, int(self._epoch() - answer.at)))),
            (names.TARGET_HEADER, answer.target),
            (names.CACHE_HEADER, CacheVerdict.HIT),
            *limits,
        )
        told = {"response_model": answer.model, "cache": CacheVerdict.HIT, "usage_source": UsageSource.NONE}
        return Respond(200, answer.body, headers, {**facts, **told})


def entry_of(model: Model, key: KeyConfig, question: Question, cache_control: str) -> Entry | None:
    """Where the answer is kept; None where it is not, be it that the client forbids it."""
    keeping = model.keeping
    if keeping is None or question.operation not in _KEPT:
        return None
    wishes = {wish.strip().lower() for wish in cache_control.split(",")}
    if "no-store" in wishes:
        return None
    parts = (*_sharers(keeping, key), question.operation, model.name)
    targets = [str(target) for target in model.targets]
    return Entry(answer_key(parts, targets, question.read.fields), keeping.seconds, fresh="no-cache" in wishes)


def _sharers(keeping: Keeping, key: KeyConfig) -> tuple[str, str]:
    if keeping.scope is Scope.ALL:
        return Scope.ALL, ""
    if keeping.scope is Scope.TEAM and key.team:
        return Scope.TEAM, key.team
    return Scope.KEY, key.name


class Copy:
    """Follows what a client is sent, and has it in the end if it is one whole answer by one target."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._content_type = ""
        self._facts: dict[str, str | float] = {}
        self._possible = True

    def follow(self, actions: tuple[Action, ...], *, target: str, at: float) -> KeptAnswer | None:
        """Take what is sent next; the answer with the last of it."""
        ended = False
        for action in actions:
            self._take(action)
            ended = ended or isinstance(action, EndTrailers) or (isinstance(action, Send) and action.end_of_stream)
        if not (ended and self._is_whole()):
            return None
        return KeptAnswer(
            body=bytes(self._body),
            content_type=self._content_type,
            target=target,
            model=str(self._facts.get("response_model", "")),
            at=at,
        )

    def _take(self, action: Action) -> None:
        match action:
            case Begin(set_headers):
                headers = dict(set_headers)
                self._content_type = headers.get("content-type", "")
                self._possible = ":status" not in headers
            case Send(body):
                self._body += body if self._possible else b""
                self._possible = self._possible and len(self._body) <= _LARGEST
            case Abort() | Respond():
                self._possible = False
        if facts := getattr(action, "facts", None):
            self._facts |= facts

    def _is_whole(self) -> bool:
        facts = self._facts
        spoilt = facts.get("error") or facts.get("rescued") or facts.get("malformed_events")
        return self._possible and bool(self._content_type) and facts.get("usage_source") in _WHOLE and not spoilt
