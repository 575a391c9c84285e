"""The model behind every fake dialect: one question has one answer, in whatever protocol it came."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from processor.wire.json import JSON
from tests.support.fake_vendor_replies import Step

_PLACES = ("Zürich ☀️", '東京 "wet"')
"""What a model fills strings with: letters of more than one byte, and quotes."""
_PIECE = 7
_PAUSE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool the model calls."""

    id: str
    name: str
    arguments: JSON

    @property
    def written(self) -> str:
        """The arguments, as JSON."""
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a dialect has read out of a request."""

    model: str
    asked: str
    """The latest that the user said."""
    system: str = ""
    history: str = ""
    """All that was said before, for its tokens."""
    pictures: tuple[str, ...] = ()
    """Media type and length in bytes, or the URL."""
    tools: Mapping[str, JSON] = field(default_factory=dict)
    """Those that may be called, with the schemas of their arguments."""
    forced: bool = False
    """Whether a tool has to be called, whatever was said."""
    one_call: bool = False
    results: tuple[str, ...] = ()
    """What the tools called last have given."""
    schema: JSON | None = None
    thinks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The model's answer, and what it cost."""

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    prompt_tokens: int
    """Those from the cache among them."""
    cached_tokens: int
    thinking_tokens: int
    text_tokens: int

    @property
    def output_tokens(self) -> int:
        """Thinking and text."""
        return self.thinking_tokens + self.text_tokens


def answer(question: Question, *, call_id: str = "call_{}") -> Said:
    """The answer: calls of two tools where tools are offered and none has given anything yet; a text otherwise.

    Instructions are told to come from the cache. A token is a word.
    """
    thinking = "Hm ☕, let me think of it." if question.thinks else ""
    calls = tuple(_calls(question, call_id)) if question.forced or not question.results else ()
    text = "" if calls else _text(question)
    spoken = text + " ".join(f"{call.name} {call.written}" for call in calls)
    return Said(
        text=text,
        thinking=thinking,
        calls=calls,
        prompt_tokens=tokens(f"{question.system} {question.history} {question.asked} {' '.join(question.results)}"),
        cached_tokens=tokens(question.system),
        thinking_tokens=tokens(thinking),
        text_tokens=tokens(spoken),
    )


def tokens(text: str) -> int:
    """The tokens of a text, as these models count them."""
    return len(text.split())


def joined(texts: Iterable[str]) -> str:
    """What was said in parts, without those that say nothing."""
    return " ".join(text for text in texts if text)


def fitting(schema: JSON, number: int = 0, *, within: JSON | None = None) -> object:
    """A value that fits a JSON schema, or one in OpenAPI's words; another one for another number."""
    root = schema if within is None else within
    if reference := schema.get("$ref"):
        found = root
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return fitting(found, number, within=root)
    if one_of := schema.get("anyOf") or schema.get("allOf") or schema.get("oneOf"):
        return fitting(one_of[0], number, within=root)
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("enum"):
        return choices[number % len(choices)]
    return _of_type(schema, number, root)


def pieces(text: str) -> list[str]:
    """A text as it comes in a stream."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def paced(events: Iterable[bytes]) -> Iterator[Step]:
    """Events as a network brings them: the end of one together with the beginning of the next, then a short pause."""
    rest = b""
    for event in events:
        middle = len(event) // 2
        yield rest + event[:middle]
        yield _PAUSE
        rest = event[middle:]
    yield rest


def signed(text: str) -> str:
    """The proof that this model had a thought."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def check_fields(value: Mapping[str, object], optional: str, where: str, *, required: str = "") -> None:
    """Fail for a field that the protocol does not have, or that it insists on; both told as words in a text."""
    assert isinstance(value, Mapping), f"{where} is no object: {value!r}"
    missing = set(required.split()) - value.keys()
    assert not missing, f"{where} needs {sorted(missing)}"
    unknown = value.keys() - {*required.split(), *optional.split()}
    assert not unknown, f"{where} has no {sorted(unknown)}"


def picture(media_type: str, data: str) -> str:
    """What a model tells of a picture in base64, which has to be one."""
    content = base64.b64decode(data, validate=True)
    assert media_type in ("image/png", "image/jpeg", "image/gif", "image/webp"), media_type
    assert content.startswith(b"\x89PNG") or media_type != "image/png", "no PNG"
    return f"{media_type} of {len(content)} bytes"


def picture_at(url: str) -> str:
    """The same of a picture by a URL, of data or elsewhere."""
    if not url.startswith("data:"):
        assert url.startswith("https://"), url
        return url
    head, comma, data = url.partition(",")
    assert comma, url
    assert head.endswith(";base64"), head
    return picture(head.removeprefix("data:").removesuffix(";base64"), data)


def schema_in(text: str) -> JSON | None:
    """The first JSON schema that stands in a text: how models without a parameter for it are told one."""
    decoder = json.JSONDecoder()
    for at, letter in enumerate(text):
        if letter != "{":
            continue
        try:
            found, _ = decoder.raw_decode(text, at)
        except ValueError:
            continue
        if isinstance(found, dict) and ("properties" in found or "type" in found):
            return found
    return None


def _calls(question: Question, call_id: str) -> Iterator[Call]:
    names = list(question.tools)
    assert names or not question.forced, "a tool is to be called, and there is none"
    if not names:
        return
    count = 1 if question.one_call or question.forced else 2
    for number in range(count):
        name = names[number % len(names)]
        arguments = fitting(question.tools[name], number)
        assert isinstance(arguments, dict), f"{name} takes no object"
        yield Call(id=call_id.format(number), name=name, arguments=arguments)


def _text(question: Question) -> str:
    if question.results:
        return "The tools said: " + " | ".join(question.results)
    if question.schema is not None:
        return json.dumps(fitting(question.schema), ensure_ascii=False)
    seen = f", and showed {' and '.join(question.pictures)}" if question.pictures else ""
    return f"You said: {question.asked}{seen}"


def _of_type(schema: JSON, number: int, root: JSON) -> object:
    kind = schema.get("type", "object")
    kind = (kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        return {
            name: fitting(property_, number, within=root) for name, property_ in schema.get("properties", {}).items()
        }
    if kind == "array":
        return [fitting(schema.get("items", {"type": "string"}), at, within=root) for at in (0, 1)]
    values = {"string": _PLACES[number % 2], "integer": 20 + number, "number": 20.5 + number, "boolean": True}
    assert kind in values, f"a schema's type is {kind!r}"
    return values[kind]
