"""OpenAI's embeddings at vendors that have its shape: batches split and joined, base64 made where it is missing.

An answer that needs neither goes on as it came: vectors are megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.chat_request import typed, unsupported
from processor.dialects.openai_chat_edits import ALL, matches
from processor.dialects.usage_shapes import openai
from processor.dialects.vectors import base64_of
from processor.dialects.vendor_errors import error_inside
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import JSON, JSONError, decode, encode, raw

MOST_INPUTS = 2048
"""Of one request, by OpenAI's own limit: at a vendor that takes one at a time each is a call."""

Batches = tuple[tuple[tuple[str, ...], int], ...]
"""Inputs that models take at once, by patterns of their names; the first that fits."""


class Check(Protocol):
    """A vendor's way to report an error inside a 200: `openai_chat_rules.CodeInside`."""

    def error_in(self, answer: JSON) -> UpstreamRefused | None:
        """The error, if there is one."""
        ...


class _Item(Struct, gc=False):
    embedding: list[float] | str
    index: int = -1


class _Answer(Struct, gc=False):
    data: Raw | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What is to be embedded."""

    items: Sequence[Any]
    """Texts, lists of tokens, or objects of the vendor's own (a picture, say)."""
    single: bool
    """Whether the client wrote one, and not a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIEmbeddings:
    """The Translator of `/embeddings` in OpenAI's shape."""

    path: str
    batches: Batches = ((ALL, MOST_INPUTS),)
    base64: bool = True
    """Whether the vendor gives it; if not it is made here."""
    tokens: bool = True
    """Whether inputs may be tokens."""
    dimensions: tuple[str, ...] = ALL
    """The models whose vectors may be shortened."""
    lists: bool = False
    """Whether a single text has to be sent as a list."""
    lower_case: bool = False
    """Whether models are known by their names in lower case only."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    check: Check | None = None

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first batch."""
        inputs = self._inputs(asked)
        batch = self._batch(asked.model)
        if len(inputs.items) <= batch and not (self.lists and inputs.single):
            return self._call(asked, asked.fields["input"])
        return self._call(asked, raw(inputs.items[:batch]))

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The embeddings; with more inputs than a batch holds, the calls for the others first."""
        first, inputs, batch = self._read(body), self._inputs(asked), self._batch(asked.model)
        rest = range(batch, len(inputs.items), batch)
        if not rest:
            if first.model is not None and (self.base64 or not _wants_base64(asked)):
                return ClientResponse(body=body, usage=_usage([first]), model=first.model or "")
            return self._joined([first], inputs, asked)
        calls = tuple(self._call(asked, raw(inputs.items[start : start + batch])) for start in rest)
        return Pending(calls=calls, then=lambda bodies: self._joined([first, *map(self._read, bodies)], inputs, asked))

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def _call(self, asked: Asked, inputs: Raw) -> UpstreamRequest:
        fields = dict(asked.fields)
        fields["model"] = raw(asked.model.lower() if self.lower_case else asked.model)
        fields["input"] = inputs
        if not self.base64:
            fields.pop("encoding_format", None)
        if "dimensions" in fields and not matches(asked.model, self.dimensions):
            if not asked.drop_params:
                raise unsupported("dimensions", asked.model)
            del fields["dimensions"]
        return UpstreamRequest(path=self.path, body=encode(fields))

    def _inputs(self, asked: Asked) -> Inputs:
        inputs = read_inputs(asked)
        if not self.tokens and inputs.items and isinstance(inputs.items[0], list):
            raise MalformedRequest("`input`: this model takes texts, not tokens.", param="input")
        return inputs

    def _batch(self, model: str) -> int:
        return next((size for models, size in self.batches if matches(model, models)), MOST_INPUTS)

    def _read(self, body: bytes) -> _Answer:
        try:
            answer = _answers.decode(body)
            if answer.data is UNSET:
                value = decode(body)
                raise (
                    (self.check.error_in(value) if self.check else None)
                    or error_inside(value, self.statuses)
                    or (UpstreamProtocolError("The vendor's answer holds no embeddings."))
                )
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer cannot be read: {error}.") from None
        return answer

    def _joined(self, answers: Sequence[_Answer], inputs: Inputs, asked: Asked) -> ClientResponse:
        try:
            batches = [_items.decode(answer.data) for answer in answers if answer.data is not UNSET]
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's embeddings cannot be read: {error}.") from None
        vectors = [item.embedding for batch in batches for item in sorted(batch, key=lambda item: item.index)]
        return joined(vectors, len(inputs.items), _usage(answers), asked, model=answers[0].model or "")


_answers = msgspec.json.Decoder(_Answer)
_items = msgspec.json.Decoder(list[_Item])


def read_inputs(asked: Asked) -> Inputs:
    """A request's inputs.

    Raises:
        MalformedRequest: there are none, or too many, or they are of no kind that can be embedded.
    """
    given = typed(asked.fields.get("input", b"null"), str | list[str | int | list[int] | JSON] | None, "input")
    if isinstance(given, str):
        return Inputs(items=[given], single=True)
    if not given:
        raise MalformedRequest("`input` must hold something to embed.", param="input")
    if all(isinstance(item, int) for item in given):
        return Inputs(items=[given], single=True)
    tokens = sum(isinstance(item, list) for item in given)
    if any(isinstance(item, int) for item in given) or tokens not in (0, len(given)):
        raise MalformedRequest("`input` must be a list of one kind: texts, or lists of tokens.", param="input")
    if len(given) > MOST_INPUTS:
        raise MalformedRequest(f"`input` may hold {MOST_INPUTS} inputs at most.", param="input")
    return Inputs(items=given, single=False)


def joined(
    vectors: Sequence[list[float] | str], expected: int, usage: Usage | None, asked: Asked, *, model: str
) -> ClientResponse:
    """A list of embeddings in the vectors' order, as the client wants them.

    Raises:
        UpstreamProtocolError: there is not one for each input.
    """
    if len(vectors) != expected:
        raise UpstreamProtocolError(f"The vendor answered {expected} inputs with {len(vectors)} vectors.")
    as_text = _wants_base64(asked)
    tokens = usage.input_tokens if usage else 0
    body: JSON = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64_of(vector) if as_text and not isinstance(vector, str) else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": model or asked.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return ClientResponse(body=encode(body), usage=usage, model=model)


def _wants_base64(asked: Asked) -> bool:
    given = asked.fields.get("encoding_format")
    return given is not None and typed(given, str | None, "encoding_format") == "base64"


def _usage(answers: Sequence[_Answer]) -> Usage | None:
    """All counts added up; None if one is missing."""
    counts = [openai({"usage": decode(answer.usage)}) for answer in answers if answer.usage is not UNSET]
    known = [count.input_tokens for count in counts if count is not None]
    return Usage(input_tokens=sum(known)) if len(known) == len(answers) else None
