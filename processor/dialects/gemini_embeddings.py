"""Gemini's batchEmbedContents: OpenAI's embeddings, in as many calls as the inputs need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import msgspec
from msgspec import Raw, Struct

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.chat_request import Parameters
from processor.dialects.gemini_answer import read_as
from processor.dialects.gemini_paths import MODELS_PATH, method_path
from processor.dialects.usage_shapes import gemini
from processor.dialects.vectors import answer, wants_base64
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, JSONError, encode


class _Embedding(Struct, gc=False):
    values: list[float]


class _Embeddings(Struct, gc=False, rename="camel"):
    embeddings: list[_Embedding]
    usage_metadata: JSON | None = None

    @property
    def usage(self) -> Usage | None:
        """Its count, which models before gemini-embedding-2 do not give."""
        return gemini({"usageMetadata": self.usage_metadata}) if self.usage_metadata else None


@dataclass(frozen=True, slots=True)
class _Wanted:
    texts: list[str]
    base64: bool
    more: JSON
    """What is said beside each text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiEmbeddings:
    """The Translator of batchEmbedContents."""

    path: str = MODELS_PATH
    """What stands before the model's name."""
    batch: int = 100
    """Texts the vendor takes in one call."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first batch."""
        return self._call(asked, _wanted(asked), 0)

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The embeddings; with more texts than a batch holds, the calls for the others first."""
        wanted = _wanted(asked)
        rest = range(self.batch, len(wanted.texts), self.batch)
        if not rest:
            return self._joined((body,), asked, wanted)
        calls = tuple(self._call(asked, wanted, start) for start in rest)
        return Pending(calls=calls, then=lambda bodies: self._joined((body, *bodies), asked, wanted))

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def _call(self, asked: Asked, wanted: _Wanted, start: int) -> UpstreamRequest:
        model = f"models/{asked.model.removeprefix('models/')}"
        requests = [
            {"model": model, "content": {"parts": [{"text": text}]}, **wanted.more}
            for text in wanted.texts[start : start + self.batch]
        ]
        path = method_path(self.path, asked.model, "batchEmbedContents")
        return UpstreamRequest(path=path, body=encode({"requests": requests}))

    def _joined(self, bodies: tuple[bytes, ...], asked: Asked, wanted: _Wanted) -> ClientResponse:
        batches = [read_as(body, _Embeddings) for body in bodies]
        vectors = [embedding.values for batch in batches for embedding in batch.embeddings]
        if len(vectors) != len(wanted.texts):
            message = f"The vendor answered {len(wanted.texts)} texts with {len(vectors)} vectors."
            raise UpstreamProtocolError(message)
        counts = [batch.usage for batch in batches]
        known = [count.input_tokens for count in counts if count is not None]
        usage = Usage(input_tokens=sum(known)) if len(known) == len(counts) else None
        return answer(vectors, usage, base64=wanted.base64, model=asked.model)


def _wanted(asked: Asked) -> _Wanted:
    parameters = Parameters(asked)
    texts = _texts(parameters.take("input", Raw))
    more: JSON = {}
    if dimensions := parameters.take("dimensions", int):
        more["outputDimensionality"] = dimensions
    if task := parameters.take("task_type", str):
        more["taskType"] = task
    wanted = _Wanted(texts, wants_base64(parameters), more)
    parameters.settle()
    return wanted


def _texts(given: Raw | None) -> list[str]:
    try:
        found = msgspec.json.decode(given or b"null", type=str | list[str])
    except JSONError:
        message = "`input` must be a text or a list of texts: this model does not take tokens."
        raise MalformedRequest(message, param="input") from None
    texts = [found] if isinstance(found, str) else found
    if not texts:
        raise MalformedRequest("`input` must hold at least one text.", param="input")
    return texts
