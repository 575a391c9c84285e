"""DashScope's pictures: drawn at once by the newer models, as a task by the older ones. The model's name tells.

A call without `x-dashscope-async` is refused by the models that work in tasks, and one with it by some others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.image_sizes import Sides
from processor.dialects.images import Entries, answer_of, entry_of, gathered, read_answer
from processor.dialects.images_request import Counts, Wanted, image_parameters, settle, taken, varied, wanted
from processor.dialects.images_tasks import Patience, watched
from processor.dialects.openai_chat_edits import matches
from processor.dialects.vendor_errors import error_inside, refused
from processor.errors import UpstreamError, UpstreamProtocolError
from processor.wire.json import JSON, encode

AT_ONCE_PATH = "/api/v1/services/aigc/multimodal-generation/generation"
TASK_PATH = "/api/v1/services/aigc/text2image/image-synthesis"
TASKS_PATH = "/api/v1/tasks/"
AS_A_TASK = (("x-dashscope-async", "enable"),)

_WORKING = frozenset({"PENDING", "RUNNING", "SUSPENDED"})
_GIVEN_UP = {"CANCELED": "The vendor canceled the task.", "UNKNOWN": "The vendor no longer knows the task."}

_TAKES = {name: name for name in ("negative_prompt", "seed", "prompt_extend", "watermark")}
"""The vendor's own parameters, as its clients write them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashScopeImages:
    """The Translator. Models are shell-style patterns, matched in lower case."""

    edit: bool = False
    """Whether there are pictures to edit, which only the models that draw at once do."""
    tasks: tuple[str, ...] = ()
    """Models that work in tasks."""
    counts: Counts = field(default_factory=Counts)
    """Where one call is not enough, the others are made all at once."""
    sizes: tuple[Sides, ...] = (Sides(between="*"),)
    """Of these the first that is for the model."""
    takes: Mapping[str, str] = field(default_factory=lambda: _TAKES)
    patience: Patience = field(default_factory=Patience)
    statuses: Mapping[str, int] = field(default_factory=dict)

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first call, as a rule the only one before any questions."""
        return self._calls(asked)[1][0]

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The pictures, once the other calls are made and the tasks are done."""
        wanting, (_, *others) = self._calls(asked)

        def finished(answers: list[JSON]) -> ClientResponse | Pending:
            return answer_of(answers, _pictures, asked, wanting.form, self.statuses)

        if self._is_task(asked):
            return gathered(body, others, self.read, lambda answers: watched(self, answers, finished))
        return gathered(body, others, self.read, finished)

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def question(self, order: JSON) -> UpstreamRequest:
        """What to ask about the task that was ordered."""
        task = _task(order).get("task_id")
        if not isinstance(task, str) or not task:
            raise UpstreamProtocolError("The vendor's answer names no task.")
        return UpstreamRequest(path=TASKS_PATH + quote(task, safe=""), method="GET")

    def is_done(self, answer: JSON) -> bool:
        """Whether a task is finished.

        Raises:
            UpstreamError: it failed, with the vendor's code and message.
        """
        output = _task(answer)
        status = output["task_status"]
        if status == "SUCCEEDED" or status in _WORKING:
            return bool(status == "SUCCEEDED")
        raise self._failure(status, output)

    def read(self, body: bytes) -> JSON:
        """Parse an answer; errors come with a status of their own, but a proxy may have made a 200 of it."""
        return read_answer(body, self.statuses)

    def _is_task(self, asked: Asked) -> bool:
        return not self.edit and matches(asked.model, self.tasks)

    def _failure(self, status: str, output: JSON) -> UpstreamError:
        told = {name: output[name] for name in ("code", "message") if output.get(name)}
        error = error_inside({"error": told}, self.statuses) if told else None
        return error or refused(502, _GIVEN_UP.get(status, "The vendor's task failed."), code=f"task_{status.lower()}")

    def _calls(self, asked: Asked) -> tuple[Wanted, list[UpstreamRequest]]:
        parameters = image_parameters(asked)
        wanting = wanted(parameters, asked, edit=self.edit)
        size = next((size for size in self.sizes if matches(asked.model, size.models)), Sides(between="*"))
        chosen = size.fields(wanting.size) | taken(parameters, self.takes)
        settle(parameters, asked)
        counts = self.counts.fields(wanting.count, asked.model)
        each = [varied({**chosen, **count}, call) for call, count in enumerate(counts)]
        return wanting, [self._call(asked, wanting, found) for found in each]

    def _call(self, asked: Asked, wanting: Wanted, chosen: JSON) -> UpstreamRequest:
        if self._is_task(asked):
            inputs: JSON = {"prompt": wanting.prompt}
            if "negative_prompt" in chosen:
                inputs["negative_prompt"] = chosen.pop("negative_prompt")
            body = {"model": asked.model, "input": inputs, "parameters": chosen}
            return UpstreamRequest(path=TASK_PATH, body=encode(body), headers=AS_A_TASK)
        content = [*({"image": picture} for picture in wanting.pictures), {"text": wanting.prompt}]
        messages = [{"role": "user", "content": content}]
        body = {"model": asked.model, "input": {"messages": messages}, "parameters": chosen}
        return UpstreamRequest(path=AT_ONCE_PATH, body=encode(body))


def _task(answer: JSON) -> JSON:
    output = answer.get("output")
    if not isinstance(output, dict) or not isinstance(output.get("task_status"), str):
        raise UpstreamProtocolError("The vendor's answer holds no task.")
    return output


def _pictures(answer: JSON) -> tuple[Entries, list[JSON]]:
    """Read `output.choices` of an answer at once, or `output.results` of a task, of which some may have failed."""
    output = answer.get("output")
    output = output if isinstance(output, dict) else {}
    results = list(_objects(output.get("results")))
    drawn = [entry_of(item, "image") for choice in _objects(output.get("choices")) for item in _content(choice)]
    made = [entry_of(result, "url", "actual_prompt") for result in results]
    return [entry for entry in (*drawn, *made) if entry], [result for result in results if result.get("code")]


def _content(choice: JSON) -> Iterator[JSON]:
    message = choice.get("message")
    return _objects(message.get("content") if isinstance(message, dict) else None)


def _objects(value: Any) -> Iterator[JSON]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
