"""A fake of DashScope's native chat: typed pieces for multimodal models, numbered events, running counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from processor.wire.json import JSON
from tests.support.fake_dialects_model import (
    Question,
    Said,
    answer,
    check_fields,
    paced,
    picture_at,
    pieces,
)
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply

_PARAMETERS = (
    "incremental_output temperature top_p top_k max_tokens seed stop n presence_penalty repetition_penalty"
    " response_format tools tool_choice parallel_tool_calls enable_thinking thinking_budget enable_search"
    " search_options logprobs top_logprobs vl_high_resolution_images"
)


def dashscope(request: Received) -> Reply:
    """The reply of the text path, and of the multimodal one."""
    body = request.json()
    check_fields(body, "", "the body", required="model input parameters")
    check_fields(body["input"], "", "input", required="messages")
    check_fields(body["parameters"], _PARAMETERS, "parameters", required="result_format")
    assert body["parameters"]["result_format"] == "message", "an answer in a text holds no calls"
    multimodal = "multimodal-generation" in request.path
    assert multimodal == ("-vl" in body["model"]), f"{body['model']} has another path"
    said = answer(_Reader(body, multimodal=multimodal).question())
    if request.header("x-dashscope-sse") == "enable":
        assert body["parameters"].get("incremental_output"), "each event would say everything again"
        return Reply.sse(paced(_numbered(_events(said, multimodal=multimodal))))
    return Reply.json(_answer(_message(said, multimodal=multimodal), said, finish=_finish(said)))


@dataclass(slots=True)
class _Reader:
    body: JSON
    multimodal: bool
    system: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    open_calls: set[str] = field(default_factory=set)

    def question(self) -> Question:
        for number, message in enumerate(self.body["input"]["messages"]):
            self._take(message, f"messages[{number}]")
        assert not self.open_calls, f"{self.open_calls} have no results"
        parameters = self.body["parameters"]
        choice = parameters.get("tool_choice", "auto")
        assert choice in ("auto", "none") or isinstance(choice, dict), f"tool_choice {choice} is not supported"
        return Question(
            model=self.body["model"],
            asked=self.said[-1] if self.said else "",
            system=" ".join(self.system),
            history=" ".join(self.said[:-1]),
            pictures=tuple(self.pictures),
            tools={} if choice == "none" else self._tools(parameters, choice),
            forced=isinstance(choice, dict),
            one_call=parameters.get("parallel_tool_calls") is not True,
            results=tuple(self.results),
            schema=self._schema(parameters.get("response_format", {"type": "text"})),
            thinks=bool(parameters.get("enable_thinking")),
        )

    def _take(self, message: JSON, where: str) -> None:
        role = message["role"]
        text = self._text(message["content"], where)
        if role == "tool":
            check_fields(message, "name", where, required="role content tool_call_id")
            assert message["tool_call_id"] in self.open_calls, f"{where} answers no call"
            self.open_calls.remove(message["tool_call_id"])
            self.results.append(text)
            return
        assert not self.open_calls, f"{where}: {self.open_calls} have no results"
        if role == "assistant":
            self.results = []
            check_fields(message, "tool_calls reasoning_content", where, required="role content")
            calls = message.get("tool_calls", [])
            assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls), where
            self.open_calls = {call["id"] for call in calls}
            self.said.append(text)
            return
        check_fields(message, "", where, required="role content")
        {"user": self.said, "system": self.system}[role].append(text)

    def _text(self, content: str | list[JSON], where: str) -> str:
        assert isinstance(content, list) == self.multimodal, f"{where}: content of the other kind of model"
        if isinstance(content, str):
            return content
        texts = []
        for piece in content:
            check_fields(piece, "text image", where)
            if "image" in piece:
                self.pictures.append(picture_at(piece["image"]))
            else:
                texts.append(piece["text"])
        return " ".join(texts)

    def _tools(self, parameters: JSON, choice: JSON | str) -> dict[str, JSON]:
        functions = [tool["function"] for tool in parameters.get("tools", ())]
        found = {function["name"]: function.get("parameters") or {"type": "object"} for function in functions}
        if isinstance(choice, dict):
            name = choice["function"]["name"]
            return {name: found[name]}
        return found

    def _schema(self, form: JSON) -> JSON | None:
        if form["type"] == "text":
            return None
        assert form["type"] == "json_schema", form
        schema: JSON = form["json_schema"]["schema"]
        return schema


def _message(said: Said, *, multimodal: bool) -> JSON:
    calls = [
        {"index": number, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.written}}
        for number, call in enumerate(said.calls)
    ]
    message = _delta(said.text, multimodal=multimodal)
    message |= {"reasoning_content": said.thinking} if said.thinking else {}
    return {**message, "tool_calls": calls} if calls else message


def _delta(text: str, *, multimodal: bool, **more: object) -> JSON:
    pieces_: list[JSON] = [{"text": text}] if text else []
    return {"role": "assistant", "content": pieces_ if multimodal else text, **more}


def _deltas(said: Said, *, multimodal: bool) -> Iterator[JSON]:
    for piece in pieces(said.thinking):
        yield _delta("", multimodal=multimodal, reasoning_content=piece)
    for piece in pieces(said.text):
        yield _delta(piece, multimodal=multimodal)
    for number, call in enumerate(said.calls):
        function: JSON = {"name": call.name, "arguments": ""}
        for piece in pieces(call.written):
            function["arguments"] = piece
            told = {"index": number, "id": "" if "name" not in function else call.id, "type": "function"}
            yield _delta("", multimodal=multimodal, tool_calls=[{**told, "function": function}])
            function = {}


def _events(said: Said, *, multimodal: bool) -> Iterator[JSON]:
    for delta in _deltas(said, multimodal=multimodal):
        yield _answer(delta, said, finish="null")
    yield _answer(_delta("", multimodal=multimodal), said, finish=_finish(said))


def _numbered(events: Iterator[JSON]) -> Iterator[bytes]:
    for number, event in enumerate(events, start=1):
        data = json.dumps(event, ensure_ascii=False)
        yield f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{data}\n\n".encode()


def _finish(said: Said) -> str:
    return "tool_calls" if said.calls else "stop"


def _answer(message: JSON, said: Said, *, finish: str) -> JSON:
    last = finish != "null"
    usage = {
        "input_tokens": said.prompt_tokens,
        "output_tokens": said.output_tokens if last else 1,
        "total_tokens": said.prompt_tokens + (said.output_tokens if last else 1),
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "output_tokens_details": {"reasoning_tokens": said.thinking_tokens if last else 0},
    }
    output = {"choices": [{"message": message, "finish_reason": finish}]}
    return {"output": output, "usage": usage, "request_id": "of-the-vendor"}
