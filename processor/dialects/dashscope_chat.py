"""DashScope's native chat, for text models and multimodal ones, which have a path of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from processor.dialects.base import Asked, ClientResponse, UpstreamRequest
from processor.dialects.chat_answer import Completion, completion, tool_call
from processor.dialects.chat_request import Message, Parameters, Tool, unsupported
from processor.dialects.dashscope_answer import Choice, answered
from processor.dialects.dashscope_answer import Message as Said
from processor.dialects.dashscope_messages import native
from processor.dialects.dashscope_stream import DashScopeChatStream
from processor.dialects.openai_chat_edits import matches
from processor.dialects.openai_chat_fold import folded, is_stream
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, encode

TEXT_PATH = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL_PATH = "/api/v1/services/aigc/multimodal-generation/generation"
STREAMED = (("x-dashscope-sse", "enable"),)
"""The header that asks for events; the body does not."""

_Number = int | float

_SAME: Mapping[str, Any] = {
    "temperature": _Number,
    "top_p": _Number,
    "presence_penalty": _Number,
    "seed": int,
    "n": int,
    "stop": str | list[str],
    "logprobs": bool,
    "top_logprobs": int,
    "response_format": JSON,
    "parallel_tool_calls": bool,
}
"""Parameters that stand in `parameters` under OpenAI's name."""

_ITS_OWN: Mapping[str, Any] = {
    "top_k": int,
    "repetition_penalty": _Number,
    "enable_thinking": bool,
    "thinking_budget": int,
    "preserve_thinking": bool,
    "enable_search": bool,
    "search_options": JSON,
    "translation_options": JSON,
    "vl_high_resolution_images": bool,
    "vl_enable_image_hw_output": bool,
    "ocr_options": JSON,
    "asr_options": JSON,
}
"""Alibaba's own, as clients of its compatible mode write them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashScopeChat:
    """The Translator. Models are shell-style patterns, matched in lower case."""

    multimodal: tuple[str, ...] = ()
    """Models that are asked with typed pieces, on the multimodal path."""
    stream_only: tuple[str, ...] = ()
    """Models that only stream: their events are folded for a client that wants the answer whole."""
    thinks_streamed: tuple[str, ...] = ()
    """Models that think by default, but only in a stream: an answer that is wanted whole comes without thinking, or,
    where thinking was asked for, out of a folded stream.
    """
    efforts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For each `reasoning_effort` the parameters sent instead, under the client's own."""
    effort_known: tuple[str, ...] = ()
    """Models that take `reasoning_effort` as it is."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """`{model, input: {messages}, parameters}`."""
        taken = Parameters(asked)
        multimodal = matches(asked.model, self.multimodal)
        messages = native(taken.take("messages", list[Message], []), multimodal=multimodal)
        parameters = self._parameters(taken, asked)
        taken.settle()
        streamed = self._streams(asked, thinks=bool(parameters.get("enable_thinking")))
        if streamed:
            parameters["incremental_output"] = True
        body = {"model": asked.model, "input": {"messages": messages}, "parameters": parameters}
        path = MULTIMODAL_PATH if multimodal else TEXT_PATH
        return UpstreamRequest(path=path, body=encode(body), headers=STREAMED if streamed else ())

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The answer as a `chat.completion`; events are folded into one."""
        body = body.strip()
        if is_stream(body):
            return self._folded(body, asked)
        answer = answered(body)
        choices = answer.output.all_choices() if answer.output else []
        if not choices:
            raise UpstreamProtocolError("The vendor's answer holds no choices.")
        whole = [_completion(choice, answer.request_id) for choice in choices]
        return completion(asked, whole, answer.counted(), id=answer.request_id, model="")

    def stream(self, asked: Asked) -> DashScopeChatStream:
        """A stream's translator."""
        return DashScopeChatStream(asked)

    def _streams(self, asked: Asked, *, thinks: bool) -> bool:
        return asked.stream or matches(asked.model, self.stream_only + self.thinks_streamed * thinks)

    def _parameters(self, taken: Parameters, asked: Asked) -> JSON:
        chosen: JSON = {"result_format": "message"}
        both = {**_SAME, **_ITS_OWN}
        chosen |= {name: value for name in both if (value := taken.take(name, both[name])) is not None}
        most = [taken.take(name, int) for name in ("max_completion_tokens", "max_tokens")]
        if tokens := most[0] or most[1]:
            chosen["max_tokens"] = tokens
        if tools := taken.take("tools", list[Tool]):
            chosen["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
        if (choice := _tool_choice(taken.take("tool_choice", str | JSON), asked)) is not None:
            chosen["tool_choice"] = choice
        return self._thinking(taken.take("reasoning_effort", str), asked) | chosen

    def _thinking(self, effort: str | None, asked: Asked) -> JSON:
        """The parameters an effort stands for, or that the model cannot be asked without."""
        if effort is None:
            refuses = not asked.stream and matches(asked.model, self.thinks_streamed)
            return {"enable_thinking": False} if refuses else {}
        if matches(asked.model, self.effort_known):
            return {"reasoning_effort": effort}
        if effort not in self.efforts and not asked.drop_params:
            raise unsupported("reasoning_effort", asked.model)
        return dict(self.efforts.get(effort, {}))

    def _folded(self, body: bytes, asked: Asked) -> ClientResponse:
        return folded(body, self.stream(replace(asked, include_usage=True)))


def _tool(tool: Tool, param: str) -> JSON:
    function = tool.function
    if tool.type != "function" or function is None:
        raise MalformedRequest("Only functions are offered as tools by this model.", param=f"{param}.type")
    optional = {"description": function.description, "parameters": function.parameters, "strict": function.strict}
    named = {"name": function.name, **{name: found for name, found in optional.items() if found is not None}}
    return {"type": "function", "function": named}


def _tool_choice(choice: str | JSON | None, asked: Asked) -> str | JSON | None:
    """The client's choice, if DashScope knows it: "required" it does not."""
    named = isinstance(choice, dict) and choice.get("type") == "function"
    if choice is None or choice in ("auto", "none") or named:
        return choice
    if asked.drop_params:
        return None
    raise unsupported("tool_choice", asked.model)


def _completion(choice: Choice, answer_id: str) -> Completion:
    said = choice.message or Said()
    calls = [
        tool_call(call.id or f"call_{answer_id}_{number}", function.name or "", function.arguments or "{}")
        for number, call in enumerate(said.tool_calls or ())
        if (function := call.function)
    ]
    text = said.text()
    return Completion(
        content=text if text or not calls else None,
        reasoning=said.reasoning_content or "",
        tool_calls=calls,
        finish_reason=choice.reason(calls=bool(calls)) or ("tool_calls" if calls else "stop"),
        logprobs=choice.logprobs,
    )
