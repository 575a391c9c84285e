"""A fake of Anthropic's Messages, as strict as the real one is about turns, results, thinking and unknown fields."""

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
    joined,
    paced,
    picture,
    pieces,
    signed,
)
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply

_FIELDS = (
    "system stop_sequences temperature top_p top_k stream tools tool_choice thinking output_config metadata"
    " service_tier container context_management mcp_servers inference_geo cache_control"
)
_LEAST_BUDGET = 1024


def anthropic(request: Received) -> Reply:
    """The reply of `/v1/messages`."""
    assert request.header("x-api-key"), "x-api-key header is required"
    assert request.header("anthropic-version") == "2023-06-01", "anthropic-version: header is required"
    body = request.json()
    check_fields(body, _FIELDS, "the body", required="model max_tokens messages")
    said = answer(_Reader(body).question(), call_id="toolu_{}")
    if body.get("stream"):
        events = [
            f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
            for event in _events(said, body)
        ]
        return Reply.sse(paced(event.encode() for event in events))
    content = [block for block, _ in _blocks(said)]
    head = {**_head(body), "content": content, "stop_reason": _stop(said), "stop_sequence": None}
    return Reply.json({**head, "usage": {**_input(said), "output_tokens": said.output_tokens}})


@dataclass(slots=True)
class _Reader:
    body: JSON
    said: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    open_calls: list[str] = field(default_factory=list)

    def question(self) -> Question:
        thinks = self._thinks()
        turns = self.body["messages"]
        assert turns, "messages: at least one message is required"
        assert turns[0]["role"] == "user", "messages: first message must use the user role"
        for number, turn in enumerate(turns):
            where = f"messages[{number}]"
            check_fields(turn, "", where, required="role content")
            before = turns[number - 1]["role"] if number else "assistant"
            assert turn["role"] != before, f"{where}: roles must alternate"
            {"user": self._user, "assistant": self._assistant}[turn["role"]](_content(turn), where)
        assert not self.open_calls, f"tool_use ids without tool_result: {self.open_calls}"
        if thinks and self.results:
            first = _content(turns[-2])[0]["type"]
            assert first in ("thinking", "redacted_thinking"), "a turn with calls must begin with its thinking"
        choice = self.body.get("tool_choice") or {"type": "auto"}
        check_fields(choice, "name disable_parallel_tool_use", "tool_choice", required="type")
        assert not (thinks and choice["type"] in ("any", "tool")), "thinking may not be enabled when tools are forced"
        return Question(
            model=self.body["model"],
            asked=self.said[-1] if self.said else "",
            system=self._system(),
            history=" ".join(self.said[:-1]),
            pictures=tuple(self.pictures),
            tools=self._tools(choice),
            forced=choice["type"] in ("any", "tool"),
            one_call=bool(choice.get("disable_parallel_tool_use")),
            results=tuple(self.results),
            schema=self._schema(),
            thinks=thinks,
        )

    def _user(self, blocks: list[JSON], where: str) -> None:
        assert blocks, f"{where}: user messages must have non-empty content"
        kinds = [block["type"] for block in blocks]
        results = [block for block in blocks if block["type"] == "tool_result"]
        assert kinds[: len(results)] == ["tool_result"] * len(results), f"{where}: tool_result blocks must come first"
        ids = [block["tool_use_id"] for block in results]
        assert sorted(ids) == sorted(self.open_calls), f"{where}: {ids} are not the results of {self.open_calls}"
        self.open_calls = []
        self.results = [self._result(block, where) for block in results]
        self.said.append(joined(self._text(block, where) for block in blocks if block["type"] != "tool_result"))

    def _assistant(self, blocks: list[JSON], where: str) -> None:
        assert blocks, f"{where} says nothing"
        for block in blocks:
            if block["type"] == "thinking":
                check_fields(block, "", where, required="type thinking signature")
                assert block["signature"] == signed(block["thinking"]), f"{where}: invalid signature in thinking block"
            elif block["type"] == "tool_use":
                check_fields(block, "cache_control", where, required="type id name input")
                assert isinstance(block["input"], dict), f"{where}: tool_use.input: should be a dictionary"
                self.open_calls.append(block["id"])
            else:
                self.said.append(self._text(block, where))

    def _result(self, block: JSON, where: str) -> str:
        check_fields(block, "content is_error cache_control", where, required="type tool_use_id")
        content = block.get("content", "")
        return content if isinstance(content, str) else joined(self._text(part, where) for part in content)

    def _text(self, block: JSON, where: str) -> str:
        if block["type"] == "image":
            source = block["source"]
            told = source["url"] if source["type"] == "url" else picture(source["media_type"], source["data"])
            self.pictures.append(told)
            return ""
        check_fields(block, "cache_control citations", where, required="type text")
        assert block["text"].strip(), f"{where}: text content blocks must contain non-whitespace text"
        return str(block["text"])

    def _system(self) -> str:
        system = self.body.get("system", "")
        return system if isinstance(system, str) else joined(self._text(block, "system") for block in system)

    def _tools(self, choice: JSON) -> dict[str, JSON]:
        found = {}
        for tool in self.body.get("tools", ()):
            check_fields(
                tool,
                "type description strict cache_control input_examples",
                "a tool",
                required="name input_schema",
            )
            assert tool["input_schema"].get("type") == "object", "tools.input_schema.type: Field required"
            found[tool["name"]] = tool["input_schema"]
        if choice["type"] == "none":
            return {}
        return {choice["name"]: found[choice["name"]]} if choice["type"] == "tool" else found

    def _schema(self) -> JSON | None:
        form = (self.body.get("output_config") or {}).get("format")
        if form is None:
            return None
        check_fields(form, "", "output_config.format", required="type schema")
        schema: JSON = form["schema"]
        return schema

    def _thinks(self) -> bool:
        thinking = self.body.get("thinking") or {"type": "disabled"}
        if thinking["type"] == "enabled":
            assert _LEAST_BUDGET <= thinking["budget_tokens"] < self.body["max_tokens"], "thinking.budget_tokens"
        assert thinking["type"] in ("enabled", "adaptive", "disabled"), thinking
        thinks: bool = thinking["type"] != "disabled"
        assert not thinks or self.body.get("temperature", 1) == 1, "temperature may only be 1 when thinking is enabled"
        return thinks


def _content(turn: JSON) -> list[JSON]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _blocks(said: Said) -> Iterator[tuple[JSON, list[JSON]]]:
    """Every block whole, and the deltas it comes in."""
    if said.thinking:
        signature = signed(said.thinking)
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(said.thinking)]
        yield (
            {"type": "thinking", "thinking": said.thinking, "signature": signature},
            [*deltas, {"type": "signature_delta", "signature": signature}],
        )
    if said.text:
        yield (
            {"type": "text", "text": said.text},
            [{"type": "text_delta", "text": piece} for piece in pieces(said.text)],
        )
    for call in said.calls:
        written = ["", *pieces(call.written)]
        yield (
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments},
            [{"type": "input_json_delta", "partial_json": piece} for piece in written],
        )


_EMPTY = {"text": "", "thinking": "", "signature": "", "input": {}}


def _events(said: Said, body: JSON) -> Iterator[JSON]:
    head = {**_head(body), "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**head, "usage": {**_input(said), "output_tokens": 1}}}
    yield {"type": "ping"}
    for index, (block, deltas) in enumerate(_blocks(said)):
        begun = {name: _EMPTY.get(name, value) for name, value in block.items()}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": _stop(said), "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": said.output_tokens}}
    yield {"type": "message_stop"}


def _head(body: JSON) -> JSON:
    return {"id": "msg_of_the_vendor", "type": "message", "role": "assistant", "model": body["model"]}


def _stop(said: Said) -> str:
    return "tool_use" if said.calls else "end_turn"


def _input(said: Said) -> JSON:
    return {
        "input_tokens": said.prompt_tokens - said.cached_tokens,
        "cache_read_input_tokens": said.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": said.thinking_tokens},
    }
