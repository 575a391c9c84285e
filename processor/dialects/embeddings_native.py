"""Embeddings in vendors' own shapes: MiniMax's texts, and the inputs of several kinds of Ark and DashScope.

Where a model takes pictures, an input may be a part as in a chat: `{"type": "text", "text"}`, or
`{"type": "image_url", "image_url": {"url"}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.chat_request import Parameters, unsupported
from processor.dialects.embeddings import MOST_INPUTS, Check, joined, read_inputs
from processor.dialects.usage_shapes import dashscope, minimax_embeddings, openai
from processor.dialects.vendor_errors import error_inside
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode

Vectors = list[list[float] | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeEmbeddings:
    """The Translator of `/embeddings` in a shape of a vendor's own."""

    path: str
    body: Callable[[Asked, Sequence[Any], JSON], JSON]
    """Makes a call's body of the request, some of its inputs, and the parameters of `takes`."""
    read: Callable[[JSON], tuple[Vectors, Usage | None]]
    """An answer's vectors, in their inputs' order, and its count."""
    takes: tuple[str, ...] = ()
    """Parameters beside the inputs."""
    batch: int = MOST_INPUTS
    check: Check | None = None

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first batch."""
        return self._call(asked, read_inputs(asked).items[: self.batch])

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The embeddings; with more inputs than a batch holds, the calls for the others first."""
        first, items = self._read(body), read_inputs(asked).items
        rest = range(self.batch, len(items), self.batch)
        if not rest:
            return self._joined([first], len(items), asked)
        calls = tuple(self._call(asked, items[start : start + self.batch]) for start in rest)
        return Pending(
            calls=calls, then=lambda bodies: self._joined([first, *map(self._read, bodies)], len(items), asked)
        )

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def _call(self, asked: Asked, items: Sequence[Any]) -> UpstreamRequest:
        parameters = Parameters(asked)
        for name in ("input", "encoding_format"):  # read where they are needed
            parameters.take(name, Any)
        more = {name: value for name in self.takes if (value := parameters.take(name, Any)) is not None}
        parameters.settle()
        return UpstreamRequest(path=self.path, body=encode(self.body(asked, items, more)))

    def _read(self, body: bytes) -> JSON:
        try:
            answer = decode(body)
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer cannot be read: {error}.") from None
        if not isinstance(answer, dict):
            raise UpstreamProtocolError("The vendor's answer is not a JSON object.")
        if failure := (self.check.error_in(answer) if self.check else None) or error_inside(answer, {}):
            raise failure
        return answer

    def _joined(self, answers: Sequence[JSON], expected: int, asked: Asked) -> ClientResponse:
        try:
            read = [self.read(answer) for answer in answers]
        except (KeyError, TypeError, AttributeError):
            raise UpstreamProtocolError("The vendor's answer holds no embeddings.") from None
        vectors = [vector for found, _ in read for vector in found]
        if not all(isinstance(vector, str | list) for vector in vectors):
            raise UpstreamProtocolError("The vendor's answer holds something else in the place of embeddings.")
        counts = [usage.input_tokens for _, usage in read if usage is not None]
        usage = Usage(input_tokens=sum(counts)) if len(counts) == len(read) else None
        model = answers[0].get("model")
        return joined(vectors, expected, usage, asked, model=model if isinstance(model, str) else "")


def minimax_body(asked: Asked, items: Sequence[Any], more: JSON) -> JSON:
    """`type` says what the vectors are for: `db`, what is searched in, or `query`."""
    if not all(isinstance(item, str) for item in items):
        raise MalformedRequest("`input`: this model takes texts only.", param="input")
    return {"model": asked.model, "texts": items, "type": "db", **more}


def minimax_read(answer: JSON) -> tuple[Vectors, Usage | None]:
    """`vectors`, one for each text."""
    return list(answer["vectors"]), minimax_embeddings(answer)


def ark_body(asked: Asked, items: Sequence[Any], more: JSON) -> JSON:
    """One input a call: Ark makes one vector of all that it is sent."""
    return {"model": asked.model, "input": [_part(item, asked) for item in items], **more}


def ark_read(answer: JSON) -> tuple[Vectors, Usage | None]:
    """`data` is one object."""
    return [answer["data"]["embedding"]], openai(answer)


def dashscope_body(asked: Asked, items: Sequence[Any], more: JSON) -> JSON:
    """`contents`, each of one kind."""
    contents = [_content(_part(item, asked)) for item in items]
    parameters = {"dimension": more["dimensions"]} if "dimensions" in more else {}
    return {"model": asked.model, "input": {"contents": contents}, **({"parameters": parameters} if parameters else {})}


def dashscope_read(answer: JSON) -> tuple[Vectors, Usage | None]:
    """`output.embeddings`, numbered."""
    found = sorted(answer["output"]["embeddings"], key=lambda item: int(item["index"]))
    return [item["embedding"] for item in found], dashscope(answer)


def _part(item: Any, asked: Asked) -> JSON:
    """An input as a part of a chat's message."""
    if isinstance(item, str):
        return {"type": "text", "text": item}
    if isinstance(item, dict):
        return item
    raise unsupported("input", asked.model)


def _content(part: JSON) -> JSON:
    """A part in DashScope's words; what is in them already stays."""
    kind, url = part.get("type"), part.get("image_url")
    if kind == "text":
        return {"text": part.get("text")}
    if kind == "image_url":
        return {"image": url.get("url") if isinstance(url, dict) else url}
    return part
