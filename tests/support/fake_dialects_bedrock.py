"""A fake of AWS Bedrock's Converse, whole and in event stream messages, with Claude or another model behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from processor.wire.json import JSON
from tests.support.eventstream import encoded
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
    "system inferenceConfig toolConfig outputConfig guardrailConfig additionalModelRequestFields serviceTier"
    " requestMetadata performanceConfig promptVariables"
)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PATH = re.compile(r"/model/([^/:]+)/(converse|converse-stream)")  # a colon is to be escaped
_EVENT_STREAM = (("content-type", "application/vnd.amazon.eventstream"),)


def bedrock(request: Received) -> Reply:
    """The reply of `/model/{model}/converse` and `…/converse-stream`."""
    assert request.header("authorization"), "no authorization"
    path = _PATH.fullmatch(request.path)
    assert path, request.path
    body = request.json()
    check_fields(body, _FIELDS, "the body", required="messages")
    said = answer(_Reader(body, unquote(path[1])).question(), call_id="tooluse_{}")
    if path[2] == "converse-stream":
        return Reply.stream(paced(encoded([event]) for event in _events(said)), headers=_EVENT_STREAM)
    message = {"role": "assistant", "content": [block for block, _ in _blocks(said)]}
    whole = {"output": {"message": message}, "stopReason": _stop(said), "usage": _usage(said)}
    return Reply.json({**whole, "metrics": {"latencyMs": 8}})


@dataclass(slots=True)
class _Reader:
    body: JSON
    model: str
    said: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    open_calls: list[str] = field(default_factory=list)
    used_tools: bool = False

    def question(self) -> Question:
        turns = self.body["messages"]
        assert turns, "a conversation must start with a user message"
        for number, turn in enumerate(turns):
            where = f"messages[{number}]"
            check_fields(turn, "", where, required="role content")
            expected = "assistant" if number % 2 else "user"
            assert turn["role"] == expected, f"{where}: a conversation must alternate between user and assistant roles"
            assert turn["content"], f"{where}: content is empty"
            {"user": self._user, "assistant": self._assistant}[turn["role"]](turn["content"], where)
        assert not self.open_calls, f"toolUse without toolResult: {self.open_calls}"
        assert "toolConfig" in self.body or not self.used_tools, "toolConfig must be defined when using toolUse blocks"
        thinks = self._thinks()
        if thinks and self.results:
            assert "reasoningContent" in turns[-2]["content"][0], "a turn with calls must begin with its thinking"
        config = self.body.get("toolConfig", {})
        choice = config.get("toolChoice", {"auto": {}})
        (chosen,) = choice
        assert not (thinks and chosen in ("any", "tool")), "thinking may not be enabled when tools are forced"
        return Question(
            model=self.model,
            asked=self.said[-1] if self.said else "",
            system=" ".join(block["text"] for block in self.body.get("system", ()) if "text" in block),
            history=" ".join(self.said[:-1]),
            pictures=tuple(self.pictures),
            tools=self._tools(config, choice),
            forced=chosen in ("any", "tool"),
            one_call=self._one_call(),
            results=tuple(self.results),
            schema=self._schema(),
            thinks=thinks,
        )

    def _user(self, blocks: list[JSON], where: str) -> None:
        results = [block["toolResult"] for block in blocks if "toolResult" in block]
        ids = [result["toolUseId"] for result in results]
        assert sorted(ids) == sorted(self.open_calls), f"{where}: {ids} are not the results of {self.open_calls}"
        for result in results:
            check_fields(result, "status", where, required="toolUseId content")
        self.open_calls = []
        self.results = [joined(self._text(block, where) for block in result["content"]) for result in results]
        self.said.append(joined(self._text(block, where) for block in blocks if "toolResult" not in block))

    def _assistant(self, blocks: list[JSON], where: str) -> None:
        for block in blocks:
            if thought := block.get("reasoningContent"):
                text = thought["reasoningText"]
                assert text["signature"] == signed(text["text"]), f"{where}: invalid signature"
            elif call := block.get("toolUse"):
                check_fields(call, "", where, required="toolUseId name input")
                assert isinstance(call["input"], dict), f"{where}: input is an object"
                assert _NAME.fullmatch(call["toolUseId"]), where
                self.open_calls.append(call["toolUseId"])
                self.used_tools = True
            else:
                self.said.append(self._text(block, where))

    def _text(self, block: JSON, where: str) -> str:
        (kind,) = block
        if kind == "image":
            image = block["image"]
            check_fields(image, "", where, required="format source")
            self.pictures.append(picture(f"image/{image['format']}", image["source"]["bytes"]))
            return ""
        if kind == "cachePoint":
            return ""
        if kind == "json":
            return json.dumps(block["json"])
        assert block["text"].strip(), f"{where}: the text field is blank"
        return str(block["text"])

    def _tools(self, config: JSON, choice: JSON) -> dict[str, JSON]:
        if not config:
            return {}
        specs = [tool["toolSpec"] for tool in config["tools"] if "cachePoint" not in tool]
        assert specs, "toolConfig.tools is empty"
        found = {}
        for spec in specs:
            check_fields(spec, "description strict", "a tool", required="name inputSchema")
            assert _NAME.fullmatch(spec["name"]), spec["name"]
            found[spec["name"]] = spec["inputSchema"]["json"]
        named = choice.get("tool")
        return {named["name"]: found[named["name"]]} if named else found

    def _schema(self) -> JSON | None:
        form = self.body.get("outputConfig", {}).get("textFormat")
        if form is None:
            return None
        assert form["type"] == "json_schema", form
        check_fields(form["structure"]["jsonSchema"], "name description", "jsonSchema", required="schema")
        schema = json.loads(form["structure"]["jsonSchema"]["schema"])
        assert isinstance(schema, dict), "the schema is a text of JSON"
        return schema

    def _one_call(self) -> bool:
        """Whether Claude may make one call only, for which Converse has no field of its own."""
        choice = self.body.get("additionalModelRequestFields", {}).get("tool_choice", {})
        check_fields(choice, "type name disable_parallel_tool_use", "tool_choice")
        return bool(choice.get("disable_parallel_tool_use"))

    def _thinks(self) -> bool:
        more = self.body.get("additionalModelRequestFields", {})
        thinking = more.get("thinking", {"type": "disabled"})["type"] != "disabled"
        assert not thinking or "claude" in self.model, f"{self.model} does not know `thinking`"
        return thinking or "reasoningConfig" in more


def _blocks(said: Said) -> Iterator[tuple[JSON, list[JSON]]]:
    """Every block whole, and the deltas it comes in."""
    if said.thinking:
        signature = signed(said.thinking)
        deltas = [{"reasoningContent": {"text": piece}} for piece in pieces(said.thinking)]
        yield (
            {"reasoningContent": {"reasoningText": {"text": said.thinking, "signature": signature}}},
            [*deltas, {"reasoningContent": {"signature": signature}}],
        )
    if said.text:
        yield {"text": said.text}, [{"text": piece} for piece in pieces(said.text)]
    for call in said.calls:
        yield (
            {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}},
            [{"toolUse": {"input": piece}} for piece in pieces(call.written)],
        )


def _events(said: Said) -> Iterator[JSON]:
    yield {"type": "messageStart", "payload": {"role": "assistant", "p": "abcd"}}
    for index, (block, deltas) in enumerate(_blocks(said)):
        if call := block.get("toolUse"):
            start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
            yield {"type": "contentBlockStart", "payload": {"contentBlockIndex": index, "start": start}}
        for delta in deltas:
            yield {"type": "contentBlockDelta", "payload": {"contentBlockIndex": index, "delta": delta, "p": "ab"}}
        yield {"type": "contentBlockStop", "payload": {"contentBlockIndex": index}}
    yield {"type": "messageStop", "payload": {"stopReason": _stop(said)}}
    yield {"type": "metadata", "payload": {"usage": _usage(said), "metrics": {"latencyMs": 8}}}


def _stop(said: Said) -> str:
    return "tool_use" if said.calls else "end_turn"


def _usage(said: Said) -> JSON:
    return {
        "inputTokens": said.prompt_tokens - said.cached_tokens,
        "outputTokens": said.output_tokens,
        "totalTokens": said.prompt_tokens + said.output_tokens,
        "cacheReadInputTokens": said.cached_tokens,
        "cacheWriteInputTokens": 0,
    }
