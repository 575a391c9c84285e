"""Embeddings of Bedrock's InvokeModel: Titan takes one text a call, Cohere's models 96."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import msgspec
from msgspec import Struct

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.bedrock_converse import model_path
from processor.dialects.chat_request import Parameters
from processor.dialects.openai_chat_edits import matches
from processor.dialects.vectors import answer, wants_base64
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, JSONError, encode

_ROUND = 16
"""Calls side by side: more only run into the account's limit of requests."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """What one call brings."""

    vectors: list[list[float]]
    tokens: int | None
    """None where they are told in a header alone."""


class Shape(Protocol):
    """How a house of models is asked for embeddings."""

    @property
    def batch(self) -> int:
        """Texts in one call."""
        ...

    def options(self, parameters: Parameters) -> JSON:
        """What is said beside the texts."""
        ...

    def body(self, texts: list[str], options: JSON) -> JSON:
        """A call's body."""
        ...

    def read(self, body: bytes) -> Vectors:
        """A call's answer; raises JSONError for another's."""
        ...


class _TitanAnswer(Struct, rename="camel", gc=False):
    embedding: list[float]
    input_text_token_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Titan:
    """Amazon's."""

    batch: int = 1
    dimensions: bool = True
    """Whether their number can be chosen."""

    def options(self, parameters: Parameters) -> JSON:
        """`dimensions` under its own name."""
        wanted = parameters.take("dimensions", int) if self.dimensions else None
        return {} if wanted is None else {"dimensions": wanted}

    def body(self, texts: list[str], options: JSON) -> JSON:
        """One text."""
        return {"inputText": texts[0], **options}

    def read(self, body: bytes) -> Vectors:
        """One vector."""
        found = msgspec.json.decode(body, type=_TitanAnswer)
        return Vectors([found.embedding], found.input_text_token_count)


class _ByType(Struct, rename={"numbers": "float"}, gc=False):
    numbers: list[list[float]]


class _CohereAnswer(Struct, gc=False):
    embeddings: list[list[float]] | _ByType


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohere:
    """Cohere's, which are told what their vectors are for."""

    batch: int = 96
    dimensions: bool = True
    """Whether their number can be chosen: not before version 4."""

    def options(self, parameters: Parameters) -> JSON:
        """`input_type`, by its own name from those who know it, and `output_dimension`."""
        options: JSON = {"input_type": parameters.take("input_type", str, "search_document")}
        wanted = parameters.take("dimensions", int) if self.dimensions else None
        return options if wanted is None else {**options, "output_dimension": wanted}

    def body(self, texts: list[str], options: JSON) -> JSON:
        """All texts of a batch."""
        return {"texts": texts, **options}

    def read(self, body: bytes) -> Vectors:
        """The vectors, as a list or under the type of their numbers."""
        found = msgspec.json.decode(body, type=_CohereAnswer).embeddings
        return Vectors(found.numbers if isinstance(found, _ByType) else found, None)


SHAPES: Mapping[str, Shape] = {
    "*amazon.titan-embed-text-v2*": Titan(),
    "*amazon.titan-embed-*": Titan(dimensions=False),
    "*cohere.embed-v4*": Cohere(),
    "*cohere.embed-*": Cohere(dimensions=False),
}
"""By a pattern of the model's id, the first that fits."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    shape: Shape
    texts: list[str]
    options: JSON
    base64: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockEmbeddings:
    """The Translator of embeddings, in as many calls as the texts need."""

    shapes: Mapping[str, Shape] = field(default_factory=lambda: SHAPES)

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first call."""
        return _calls(asked, self._wanted(asked))[0]

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The embeddings, or the calls that are left."""
        wanted = self._wanted(asked)
        return _after((body,), asked, wanted)

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def _wanted(self, asked: Asked) -> _Wanted:
        shape = next((shape for pattern, shape in self.shapes.items() if matches(asked.model, (pattern,))), None)
        if shape is None:
            raise MalformedRequest(f"How `{asked.model}` is asked for embeddings is not known.", param="model")
        parameters = Parameters(asked)
        texts = parameters.take("input", str | list[str], [])
        if not texts:
            raise MalformedRequest("`input` must hold at least one text.", param="input")
        wanted = _Wanted(
            shape,
            [texts] if isinstance(texts, str) else texts,
            shape.options(parameters),
            wants_base64(parameters),
        )
        parameters.settle()
        return wanted


def _calls(asked: Asked, wanted: _Wanted, done: int = 0, most: int = 1) -> tuple[UpstreamRequest, ...]:
    """The calls behind those that are done, but no more than so many."""
    size = wanted.shape.batch
    starts = range(done * size, min(len(wanted.texts), (done + most) * size), size)
    batches = (wanted.texts[start : start + size] for start in starts)
    path = model_path(asked.model, "invoke")
    return tuple(UpstreamRequest(path=path, body=encode(wanted.shape.body(batch, wanted.options))) for batch in batches)


def _after(bodies: tuple[bytes, ...], asked: Asked, wanted: _Wanted) -> ClientResponse | Pending:
    """What follows these answers: a further round of calls, or the end."""
    calls = _calls(asked, wanted, len(bodies), _ROUND)
    if not calls:
        return _joined(bodies, asked, wanted)
    return Pending(calls=calls, then=lambda more: _after((*bodies, *more), asked, wanted))


def _joined(bodies: tuple[bytes, ...], asked: Asked, wanted: _Wanted) -> ClientResponse:
    try:
        found = [wanted.shape.read(body) for body in bodies]
    except JSONError as error:
        raise UpstreamProtocolError(f"The vendor's answer holds no embeddings: {error}.") from None
    vectors = [vector for batch in found for vector in batch.vectors]
    if len(vectors) != len(wanted.texts):
        raise UpstreamProtocolError(f"The vendor answered {len(wanted.texts)} texts with {len(vectors)} vectors.")
    counts = [batch.tokens for batch in found if batch.tokens is not None]
    usage = Usage(input_tokens=sum(counts)) if len(counts) == len(found) else None
    return answer(vectors, usage, base64=wanted.base64, model=asked.model)
