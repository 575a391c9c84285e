"""A fake of OpenAI's chat, and of vendors that speak it in their own way: what they do not know fails the test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from processor.wire.json import JSON
from tests.support.fake_dialects_model import (
    Question,
    Said,
    answer,
    check_fields,
    paced,
    picture_at,
    pieces,
    schema_in,
)
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply, sse_event

_EVERYWHERE = "stream stream_options tools tool_choice temperature top_p stop response_format"
_OPENAIS = (
    f"{_EVERYWHERE} audio frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata modalities n"
    " parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort safety_identifier seed"
    " service_tier store top_logprobs user verbosity web_search_options"
)
_ID = "chatcmpl-of-the-vendor"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISpeaker:
    """A vendor that speaks OpenAI: `speaker(request)` is its reply."""

    credential: str = "authorization"
    """The header it stands in; empty for one that lets anybody in."""
    fields: str = _OPENAIS
    roles: frozenset[str] = frozenset({"system", "developer", "user", "assistant", "tool"})
    schemas: tuple[str, ...] = ("*",)
    """Shell-style patterns of models that take `json_schema`."""
    pictures: bool = True
    shows_thinking: bool = False
    """Whether it gives `reasoning_content`, and wants it back with the calls that followed it."""
    filter_results: bool = False
    """Azure: the content filter's results stand in the first event, and in choices."""
    repeats: bool = False
    """MiniMax: the last event says everything again, and `base_resp` that all is well; no `[DONE]`."""

    def __call__(self, request: Received) -> Reply:
        body = request.json()
        assert not self.credential or request.header(self.credential), f"no {self.credential}"
        check_fields(body, self.fields, "the body", required="model messages")
        said = answer(_Reader(self, body).question())
        if body.get("stream"):
            return Reply.sse(paced(self._events(said, body)))
        message: JSON = {"role": "assistant", "content": said.text or None, **self._thinking(said.thinking)}
        if said.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.written}}
                for call in said.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": _finish(said), **self._filtered()}
        whole = {**_envelope(body, "chat.completion"), "choices": [choice], "usage": _usage(said)}
        return Reply.json({**whole, **self._wellness()})

    def _events(self, said: Said, body: JSON) -> Iterator[bytes]:
        head = _envelope(body, "chat.completion.chunk")
        if self.filter_results:
            yield sse_event({**head, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
        deltas = [{"role": "assistant", "content": ""}, *self._deltas(said)]
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None, **self._filtered()}
            yield sse_event({**head, "choices": [choice]})
        end = {"index": 0, "finish_reason": _finish(said)}
        if self.repeats:
            message: JSON = {"role": "assistant", "content": said.text, **self._thinking(said.thinking)}
            whole = {**head, "object": "chat.completion", "choices": [{**end, "message": message}]}
            yield sse_event({**whole, "usage": _usage(said), **self._wellness()})
            return
        yield sse_event({**head, "choices": [{**end, "delta": {}}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield sse_event({**head, "choices": [], "usage": _usage(said)})
        yield sse_event("[DONE]")

    def _deltas(self, said: Said) -> Iterator[JSON]:
        for piece in pieces(said.thinking):
            if self.shows_thinking:
                yield {"reasoning_content": piece}
        for piece in pieces(said.text):
            yield {"content": piece}
        for number, call in enumerate(said.calls):
            function: JSON = {"name": call.name, "arguments": ""}
            yield {"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]}
            for piece in pieces(call.written):
                yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}

    def _thinking(self, text: str) -> JSON:
        return {"reasoning_content": text} if self.shows_thinking and text else {}

    def _filtered(self) -> JSON:
        return {"content_filter_results": {"hate": {"filtered": False}}} if self.filter_results else {}

    def _wellness(self) -> JSON:
        return {"base_resp": {"status_code": 0, "status_msg": ""}} if self.repeats else {}


@dataclass(slots=True)
class _Reader:
    """Reads the conversation, and holds it to the order that OpenAI insists on."""

    speaker: OpenAISpeaker
    body: JSON
    system: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    open_calls: set[str] = field(default_factory=set)

    def question(self) -> Question:
        thinks = self._thinks()
        for number, message in enumerate(self.body["messages"]):
            self._take(message, f"messages[{number}]", thinks=thinks)
        assert not self.open_calls, f"{self.open_calls} have no results"
        choice = self.body.get("tool_choice", "auto")
        return Question(
            model=self.body["model"],
            asked=self.said[-1] if self.said else "",
            system=" ".join(self.system),
            history=" ".join(self.said[:-1]),
            pictures=tuple(self.pictures),
            tools={} if choice == "none" else self._tools(choice),
            forced=choice == "required" or isinstance(choice, dict),
            one_call=self.body.get("parallel_tool_calls") is False,
            results=tuple(self.results),
            schema=self._schema(),
            thinks=thinks,
        )

    def _take(self, message: JSON, where: str, *, thinks: bool) -> None:
        role = message["role"]
        assert role in self.speaker.roles, f"{where}: no role is called {role}"
        if role == "tool":
            check_fields(message, "name", where, required="role content tool_call_id")
            assert message["tool_call_id"] in self.open_calls, f"{where} answers no call"
            self.open_calls.remove(message["tool_call_id"])
            self.results.append(self._text(message["content"], where))
            return
        assert not self.open_calls, f"{where}: {self.open_calls} have no results"
        if role == "assistant":
            self.results = []
            self._take_answer(message, where, thinks=thinks)
            return
        check_fields(message, "name", where, required="role content")
        (self.said if role == "user" else self.system).append(self._text(message["content"], where))

    def _take_answer(self, message: JSON, where: str, *, thinks: bool) -> None:
        more = "reasoning_content refusal name annotations audio"
        check_fields(message, f"content tool_calls {more}", where, required="role")
        calls = message.get("tool_calls") or []
        assert calls or message.get("content") or message.get("refusal"), f"{where} says nothing"
        for call in calls:
            check_fields(call, "index", where, required="id type function")
            check_fields(call["function"], "", where, required="name arguments")
            assert isinstance(json.loads(call["function"]["arguments"]), dict), where
        if calls and thinks and self.speaker.shows_thinking:
            assert message.get("reasoning_content"), f"{where}: the reasoning_content of a call must be passed back"
        self.open_calls = {call["id"] for call in calls}
        self.said.append(self._text(message.get("content"), where))

    def _text(self, content: str | list[JSON] | None, where: str) -> str:
        if content is None or isinstance(content, str):
            return content or ""
        texts = []
        for part in content:
            if part["type"] == "image_url":
                assert self.speaker.pictures, f"{where}: this model sees nothing"
                self.pictures.append(picture_at(part["image_url"]["url"]))
            else:
                check_fields(part, "type text", where, required="type text")
                texts.append(part["text"])
        return " ".join(texts)

    def _tools(self, choice: Any) -> Mapping[str, JSON]:
        found: dict[str, JSON] = {}
        for tool in self.body.get("tools") or ():
            check_fields(tool, "", "a tool", required="type function")
            check_fields(tool["function"], "description parameters strict", "a tool", required="name")
            found[tool["function"]["name"]] = tool["function"].get("parameters") or {"type": "object"}
        if isinstance(choice, dict):
            name = choice["function"]["name"]
            return {name: found[name]}
        return found

    def _schema(self) -> JSON | None:
        form = self.body.get("response_format") or {"type": "text"}
        if form["type"] == "json_schema":
            known = any(fnmatch(self.body["model"], pattern) for pattern in self.speaker.schemas)
            assert known, "this model takes no json_schema"
            check_fields(form["json_schema"], "strict description", "json_schema", required="name schema")
            schema: JSON = form["json_schema"]["schema"]
            return schema
        if form["type"] != "json_object":
            return None
        prompt = " ".join((*self.system, *self.said))
        assert "json" in prompt.lower(), "the prompt must contain the word json"
        return schema_in(prompt) or {"type": "object"}

    def _thinks(self) -> bool:
        thinking = self.body.get("thinking") or {}
        effort = self.body.get("reasoning_effort") or self.body.get("reasoning_split")
        return thinking.get("type") in ("enabled", "adaptive") or effort not in (None, "none", False)


def _envelope(body: JSON, kind: str) -> JSON:
    return {"id": _ID, "object": kind, "created": 1_700_000_000, "model": body["model"]}


def _finish(said: Said) -> str:
    return "tool_calls" if said.calls else "stop"


def _usage(said: Said) -> JSON:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.prompt_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": said.thinking_tokens},
    }


_NO_DEVELOPER = frozenset({"system", "user", "assistant", "tool"})

OPENAI = OpenAISpeaker()
AZURE = OpenAISpeaker(credential="api-key", filter_results=True)
DEEPSEEK = OpenAISpeaker(
    fields=f"{_EVERYWHERE} frequency_penalty logprobs max_tokens presence_penalty reasoning_effort thinking"
    " top_logprobs",
    roles=_NO_DEVELOPER,
    schemas=(),
    pictures=False,
    shows_thinking=True,
)
MINIMAX = OpenAISpeaker(
    credential="",
    fields=f"{_EVERYWHERE} max_completion_tokens mask_sensitive_info parallel_tool_calls reasoning_split thinking",
    roles=_NO_DEVELOPER,
    schemas=("MiniMax-Text-01",),
    shows_thinking=True,
    repeats=True,
)
