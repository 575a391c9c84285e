"""A fake of Gemini's generateContent, whole and streamed, which from Gemini 3 on wants the signatures of its calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

from processor.wire.json import JSON
from tests.support.fake_dialects_model import (
    Call,
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
from tests.support.fake_vendor_replies import Reply, sse_event

_FIELDS = "systemInstruction tools toolConfig generationConfig safetySettings cachedContent"
_CONFIG = (
    "stopSequences responseMimeType responseModalities candidateCount maxOutputTokens temperature topP topK seed"
    " responseSchema responseJsonSchema presencePenalty frequencyPenalty responseLogprobs logprobs thinkingConfig"
)


def gemini(request: Received) -> Reply:
    """The reply of `/v1beta/models/{model}:generateContent`, and of streamGenerateContent."""
    assert request.header("x-goog-api-key"), "no x-goog-api-key"
    model, _, method = unquote(request.path.removeprefix("/v1beta/models/")).partition(":")
    body = request.json()
    check_fields(body, _FIELDS, "the body", required="contents")
    said = answer(_Reader(body, model).question())
    numbered = model.startswith("gemini-3")
    if method == "streamGenerateContent":
        assert parse_qs(request.query).get("alt") == ["sse"], "without alt=sse the stream is one JSON array"
        return Reply.sse(paced(sse_event(event) for event in _events(said, model, numbered=numbered)))
    assert method == "generateContent", method
    parts = list(_parts(said, numbered=numbered, whole=True))
    return Reply.json(_answer(model, parts, said, finish="STOP"))


@dataclass(slots=True)
class _Reader:
    body: JSON
    model: str
    said: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    open_calls: list[JSON] = field(default_factory=list)

    def question(self) -> Question:
        contents = self.body["contents"]
        assert contents, "contents is not specified"
        for number, turn in enumerate(contents):
            where = f"contents[{number}]"
            check_fields(turn, "", where, required="role parts")
            assert turn["parts"], f"{where}: must include at least one parts field"
            {"user": self._user, "model": self._model}[turn["role"]](turn["parts"], where)
        assert contents[-1]["role"] == "user", "the last turn must be the user's"
        config = self.body.get("generationConfig", {})
        check_fields(config, _CONFIG, "generationConfig")
        calling = self.body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
        check_fields(calling, "allowedFunctionNames", "functionCallingConfig", required="mode")
        instructions = self.body.get("systemInstruction", {"parts": []})["parts"]
        return Question(
            model=self.model,
            asked=self.said[-1] if self.said else "",
            system=" ".join(part["text"] for part in instructions),
            history=" ".join(self.said[:-1]),
            pictures=tuple(self.pictures),
            tools={} if calling["mode"] == "NONE" else self._tools(calling),
            forced=calling["mode"] == "ANY",
            results=tuple(self.results),
            schema=_schema(config),
            thinks=_thinks(config.get("thinkingConfig", {})),
        )

    def _user(self, parts: list[JSON], where: str) -> None:
        responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
        names = [response["name"] for response in responses]
        expected = [call["name"] for call in self.open_calls]
        assert names == expected, f"{where}: function responses {names} for function calls {expected}"
        for response, call in zip(responses, self.open_calls, strict=True):
            check_fields(response, "id", where, required="name response")
            assert isinstance(response["response"], dict), f"{where}: a response is an object"
            assert response.get("id") == call.get("id"), f"{where}: the response of another call"
        assert not responses or len(responses) == len(parts), f"{where}: responses stand in a turn of their own"
        self.open_calls = []
        self.results += [_result(response["response"]) for response in responses]
        self.said.append(joined(self._text(part, where) for part in parts if "functionResponse" not in part))

    def _model(self, parts: list[JSON], where: str) -> None:
        calls = [part for part in parts if "functionCall" in part]
        for number, part in enumerate(calls):
            check_fields(part, "thoughtSignature", where, required="functionCall")
            self._check_call(part, where, first=number == 0)
        self.open_calls = [part["functionCall"] for part in calls]
        self.results = []
        self.said.append(joined(self._text(part, where) for part in parts if "functionCall" not in part))

    def _check_call(self, part: JSON, where: str, *, first: bool) -> None:
        call = part["functionCall"]
        check_fields(call, "id", where, required="name args")
        assert isinstance(call["args"], dict), f"{where}: args is an object"
        if self.model.startswith("gemini-3") and first:
            assert part.get("thoughtSignature") == signed(call["id"]), (
                f"{where}: function call has no thought_signature"
            )

    def _text(self, part: JSON, where: str) -> str:
        if inline := part.get("inlineData"):
            self.pictures.append(picture(inline["mimeType"], inline["data"]))
            return ""
        if file := part.get("fileData"):
            self.pictures.append(file["fileUri"])
            return ""
        check_fields(part, "thoughtSignature", where, required="text")
        return str(part["text"])

    def _tools(self, calling: JSON) -> dict[str, JSON]:
        declared = [function for tool in self.body.get("tools", ()) for function in tool["functionDeclarations"]]
        found = {}
        for function in declared:
            check_fields(function, "description parameters parametersJsonSchema", "a function", required="name")
            assert not {"parameters", "parametersJsonSchema"} <= function.keys(), "both kinds of schema"
            schema = function.get("parametersJsonSchema") or function.get("parameters")
            found[function["name"]] = schema or {"type": "object"}
        allowed = calling.get("allowedFunctionNames", found)
        return {name: found[name] for name in allowed}


def _schema(config: JSON) -> JSON | None:
    if config.get("responseMimeType") != "application/json":
        assert "responseSchema" not in config, "a schema needs the response mime type application/json"
        assert "responseJsonSchema" not in config, "a schema needs the response mime type application/json"
        return None
    schema: JSON = config.get("responseJsonSchema") or config.get("responseSchema") or {"type": "object"}
    return schema


def _thinks(thinking: JSON) -> bool:
    check_fields(thinking, "includeThoughts thinkingBudget thinkingLevel", "thinkingConfig")
    assert len(thinking.keys() & {"thinkingBudget", "thinkingLevel"}) < 2, "a budget and a level"
    return bool(thinking.get("includeThoughts"))


def _result(response: JSON) -> str:
    return str(response["output"]) if response.keys() == {"output"} else str(response)


def _parts(said: Said, *, numbered: bool, whole: bool) -> Iterator[JSON]:
    """The parts of the answer; calls come in one piece in a stream, too."""
    for text in [said.thinking] if whole else pieces(said.thinking):
        if text:
            yield {"text": text, "thought": True}
    for text in [said.text] if whole else pieces(said.text):
        if text:
            yield {"text": text}
    for number, call in enumerate(said.calls):
        yield (
            _call(call, first=number == 0)
            if numbered
            else {"functionCall": {"name": call.name, "args": call.arguments}}
        )


def _call(call: Call, *, first: bool) -> JSON:
    """A call of Gemini 3's, the first of several signed."""
    part: JSON = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
    return {**part, "thoughtSignature": signed(call.id)} if first else part


def _events(said: Said, model: str, *, numbered: bool) -> Iterator[JSON]:
    for part in _parts(said, numbered=numbered, whole=False):
        yield _answer(model, [part], said)
    yield _answer(model, [{"text": ""}], said, finish="STOP")


def _answer(model: str, parts: list[JSON], said: Said, *, finish: str | None = None) -> JSON:
    usage: JSON = {
        "promptTokenCount": said.prompt_tokens,
        "cachedContentTokenCount": said.cached_tokens,
        "thoughtsTokenCount": said.thinking_tokens,
        "totalTokenCount": said.prompt_tokens + said.thinking_tokens,
    }
    if finish:
        usage |= {"candidatesTokenCount": said.text_tokens, "totalTokenCount": said.prompt_tokens + said.output_tokens}
    candidate: JSON = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "of-the-vendor"}
