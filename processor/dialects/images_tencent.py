"""Tencent TokenHub's pictures: drawn at once by the lite models, as a task by the others.

The lite models could also answer in base64, but where it would stand is not documented: addresses are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.image_sizes import Sides
from processor.dialects.images import answer_of, gathered, listed, read_answer
from processor.dialects.images_request import Wanted, image_parameters, settle, taken, varied, wanted
from processor.dialects.images_tasks import Patience, watched
from processor.dialects.openai_chat_edits import matches
from processor.dialects.vendor_errors import error_inside, refused
from processor.errors import UpstreamError, UpstreamProtocolError
from processor.wire.json import JSON, encode

_SIZE = Sides(name="resolution", between=":")

_WORKING = frozenset({"", "queued", "processing", "1", "2"})
"""Empty: the answer to the order, which says nothing but the task's id."""
_DONE = frozenset({"completed", "5"})

_TAKES = {name: name for name in ("seed", "revise", "logo_add", "images")}


@dataclass(frozen=True, slots=True, kw_only=True)
class TencentImages:
    """The Translator. Every picture is a call of its own."""

    path: str = "/v1/api/image/"
    """Below it: `lite`, `submit` and `query`."""
    lite: tuple[str, ...] = ("*lite*",)
    """Models that draw at once, as shell-style patterns."""
    patience: Patience = field(default_factory=Patience)
    statuses: Mapping[str, int] = field(default_factory=dict)

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first call, as a rule the only one before any questions."""
        return self._calls(asked)[1][0]

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The pictures, once the other calls are made and the tasks are done."""
        wanting, (_, *others) = self._calls(asked)

        def finished(answers: list[JSON]) -> ClientResponse | Pending:
            return answer_of(answers, listed, asked, wanting.form, self.statuses)

        if self._is_lite(asked):
            return gathered(body, others, self.read, finished)
        jobs = _Jobs(self, asked.model)
        return gathered(body, others, self.read, lambda answers: watched(jobs, answers, finished))

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def read(self, body: bytes) -> JSON:
        """Parse an answer."""
        return read_answer(body, self.statuses)

    def _is_lite(self, asked: Asked) -> bool:
        return matches(asked.model, self.lite)

    def _calls(self, asked: Asked) -> tuple[Wanted, list[UpstreamRequest]]:
        parameters = image_parameters(asked)
        wanting = wanted(parameters, asked, edit=False)
        body: JSON = {"model": asked.model, "prompt": wanting.prompt, **_SIZE.fields(wanting.size)}
        if self._is_lite(asked):
            body["rsp_img_type"] = "url"
        else:
            body |= taken(parameters, _TAKES)
        settle(parameters, asked)
        path = self.path + ("lite" if self._is_lite(asked) else "submit")
        bodies = [varied(body, call) for call in range(wanting.count)]
        return wanting, [UpstreamRequest(path=path, body=encode(found)) for found in bodies]


@dataclass(frozen=True, slots=True)
class _Jobs:
    """TokenHub's tasks: they are asked about by id and model."""

    images: TencentImages
    model: str

    @property
    def patience(self) -> Patience:
        return self.images.patience

    def read(self, body: bytes) -> JSON:
        return self.images.read(body)

    def question(self, order: JSON) -> UpstreamRequest:
        job = order.get("id") or order.get("job_id")
        if not isinstance(job, str):
            raise UpstreamProtocolError("The vendor's answer names no task.")
        return UpstreamRequest(path=f"{self.images.path}query", body=encode({"model": self.model, "id": job}))

    def is_done(self, answer: JSON) -> bool:
        status = str(answer.get("status") or "").lower()
        if status in _DONE or status in _WORKING:
            return status in _DONE
        raise self._failure(answer)

    def _failure(self, answer: JSON) -> UpstreamError:
        told = {name: answer[name] for name in ("code", "message") if answer.get(name)}
        error = error_inside({"error": told}, self.images.statuses) if told else None
        return error or refused(502, "The vendor's task failed.", code="task_failed")
