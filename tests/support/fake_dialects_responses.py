"""A fake of OpenAI's Responses, stateless: items in, items out, whole or event by event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from processor.wire.json import JSON
from tests.support.fake_dialects_model import (
    Question,
    Said,
    answer,
    check_fields,
    joined,
    paced,
    picture_at,
    pieces,
    signed,
)
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply

_FIELDS = (
    "background conversation include instructions max_output_tokens max_tool_calls metadata parallel_tool_calls"
    " previous_response_id prompt prompt_cache_key reasoning safety_identifier service_tier store stream stream_options"
    " temperature text tool_choice tools top_logprobs top_p truncation user"
)


def responses(request: Received) -> Reply:
    """The reply of `/v1/responses`."""
    assert request.header("authorization"), "no authorization"
    body = request.json()
    check_fields(body, _FIELDS, "the body", required="model input")
    said = answer(_Reader(body).question())
    if body.get("stream"):
        events = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _numbered(_events(said, body)))
        return Reply.sse(paced(event.encode() for event in events))
    return Reply.json(_response(body, said, list(_items(said))))


@dataclass(slots=True)
class _Reader:
    body: JSON
    system: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    open_calls: set[str] = field(default_factory=set)

    def question(self) -> Question:
        given = self.body["input"]
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        for number, item in enumerate(items):
            where = f"input[{number}]"
            kind = item.get("type", "message")
            {
                "message": self._message,
                "function_call": self._call,
                "function_call_output": self._output,
                "reasoning": self._reasoning,
            }[kind](item, where)
        assert not self.open_calls, f"no tool output found for function calls {self.open_calls}"
        form = self.body.get("text", {}).get("format", {"type": "text"})
        reasoning = self.body.get("reasoning") or {}
        check_fields(reasoning, "effort summary", "reasoning")
        choice = self.body.get("tool_choice", "auto")
        return Question(
            model=self.body["model"],
            asked=self.said[-1] if self.said else "",
            system=joined([self.body.get("instructions") or "", *self.system]),
            history=" ".join(self.said[:-1]),
            pictures=tuple(self.pictures),
            tools={} if choice == "none" else self._tools(),
            forced=choice == "required",
            one_call=self.body.get("parallel_tool_calls") is False,
            results=tuple(self.results),
            schema=form["schema"] if form["type"] == "json_schema" else None,
            thinks=reasoning.get("effort", "none") != "none",
        )

    def _message(self, item: JSON, where: str) -> None:
        check_fields(item, "type id status phase", where, required="role content")
        if item["role"] == "assistant":
            self.results = []
        text = self._text(item["content"], where, item["role"])
        (self.system if item["role"] in ("system", "developer") else self.said).append(text)

    def _text(self, content: str | list[JSON], where: str, role: str) -> str:
        if isinstance(content, str):
            return content
        texts = []
        for part in content:
            if part["type"] == "input_image":
                self.pictures.append(picture_at(part["image_url"]))
                continue
            assert part["type"] == ("output_text" if role == "assistant" else "input_text"), f"{where}: {part['type']}"
            texts.append(part["text"])
        return joined(texts)

    def _call(self, item: JSON, where: str) -> None:
        check_fields(item, "id status", where, required="type call_id name arguments")
        assert isinstance(json.loads(item["arguments"]), dict), where
        self.open_calls.add(item["call_id"])
        self.results = []

    def _output(self, item: JSON, where: str) -> None:
        check_fields(item, "id status", where, required="type call_id output")
        assert item["call_id"] in self.open_calls, f"{where}: no function call found for call_id {item['call_id']}"
        self.open_calls.remove(item["call_id"])
        self.results.append(item["output"])

    def _reasoning(self, item: JSON, where: str) -> None:
        check_fields(item, "status content", where, required="type id summary encrypted_content")
        thought = "".join(part["text"] for part in item["summary"])
        assert item["encrypted_content"] == signed(thought), f"{where}: the encrypted content could not be verified"

    def _tools(self) -> dict[str, JSON]:
        found = {}
        for tool in self.body.get("tools") or ():
            check_fields(tool, "description strict", "a tool", required="type name parameters")
            found[tool["name"]] = tool["parameters"]
        return found


def _items(said: Said) -> Iterator[JSON]:
    """The output's items, whole."""
    if said.thinking:
        summary = [{"type": "summary_text", "text": said.thinking}]
        encrypted = signed(said.thinking)
        yield {"type": "reasoning", "id": "rs_0", "summary": summary, "encrypted_content": encrypted}
    if said.text:
        yield _spoken([_text_part(said.text)], status="completed")
    for call in said.calls:
        head = {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id, "name": call.name}
        yield {**head, "arguments": call.written, "status": "completed"}


def _events(said: Said, body: JSON) -> Iterator[JSON]:
    yield {"type": "response.created", "response": _response(body, said, [], status="in_progress")}
    items = list(_items(said))
    for index, item in enumerate(items):
        empty = {"summary": [], "content": [], "arguments": ""}
        begun = {name: empty.get(name, value) for name, value in item.items()}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        at: JSON = {"item_id": item["id"], "output_index": index}
        yield from ({**event, **at} for event in _of_item(item, said))
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": _response(body, said, items)}


def _of_item(item: JSON, said: Said) -> Iterator[JSON]:
    if item["type"] == "reasoning":
        yield {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": _summary("")}
        for piece in pieces(said.thinking):
            yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": said.thinking}
        yield {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": _summary(said.thinking)}
    elif item["type"] == "message":
        yield {"type": "response.content_part.added", "content_index": 0, "part": _text_part("")}
        for piece in pieces(said.text):
            yield {"type": "response.output_text.delta", "content_index": 0, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", "content_index": 0, "text": said.text, "logprobs": []}
        yield {"type": "response.content_part.done", "content_index": 0, "part": _text_part(said.text)}
    else:
        for piece in pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", "delta": piece}
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield {"type": "response.function_call_arguments.done", **done}


def _numbered(events: Iterator[JSON]) -> Iterator[JSON]:
    numbers = count()
    return ({**event, "sequence_number": next(numbers)} for event in events)


def _spoken(content: list[JSON], *, status: str) -> JSON:
    return {"type": "message", "id": "msg_0", "role": "assistant", "status": status, "content": content}


def _text_part(text: str) -> JSON:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> JSON:
    return {"type": "summary_text", "text": text}


def _response(body: JSON, said: Said, output: list[JSON], *, status: str = "completed") -> JSON:
    usage: JSON = {
        "input_tokens": said.prompt_tokens,
        "input_tokens_details": {"cached_tokens": said.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": said.output_tokens,
        "output_tokens_details": {"reasoning_tokens": said.thinking_tokens},
        "total_tokens": said.prompt_tokens + said.output_tokens,
    }
    return {
        "id": "resp_of_the_vendor",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "usage": usage if status == "completed" else None,
    }
