"""Rerank, in the shape that Jina and Cohere gave it and most vendors took over.

A client asks `{model, query, documents, top_n?, return_documents?}`, whose documents are texts or `{"text"}`, and
is told `{id, model, results: [{index, relevance_score, document?: {"text"}}], usage: {prompt_tokens, total_tokens}}`,
the best first.
Documents are only told where `return_documents` asks for them, and then at every vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from processor.dialects.base import Asked, ClientResponse, UpstreamRequest
from processor.dialects.chat_request import typed
from processor.dialects.usage_shapes import rerank
from processor.dialects.vendor_errors import error_inside
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode, raw

Document = str | JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank:
    """The Translator of `/rerank`."""

    path: str
    returns: bool = True
    """Whether the vendor takes `return_documents`; it is not relied on either way."""
    statuses: Mapping[str, int] = field(default_factory=dict)

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request, its documents as texts."""
        fields = dict(asked.fields)
        fields["model"] = raw(asked.model)
        fields["documents"] = raw(_documents(asked))
        if not self.returns:
            fields.pop("return_documents", None)
        return UpstreamRequest(path=self.path, body=encode(fields))

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The vendor's order in the common shape."""
        try:
            answer = decode(body)
        except JSONError as error:
            raise UpstreamProtocolError(f"The vendor's answer cannot be read: {error}.") from None
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            failure = error_inside(answer, self.statuses) if isinstance(answer, dict) else None
            raise failure or UpstreamProtocolError("The vendor's answer holds no results.")
        usage = rerank(answer)
        model = answer.get("model") if isinstance(answer.get("model"), str) else ""
        tokens = usage.input_tokens if usage else 0
        told: JSON = {
            "id": str(answer.get("id") or asked.request_id),
            "model": model or asked.model,
            "results": _ranked(results, asked),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return ClientResponse(body=encode(told), usage=usage, model=model or "")

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")


def _documents(asked: Asked) -> list[str]:
    given: list[Document] = typed(asked.fields.get("documents", b"[]"), list[str | JSON], "documents")
    texts = []
    for number, document in enumerate(given):
        text = document if isinstance(document, str) else document.get("text")
        if not isinstance(text, str):
            raise MalformedRequest(
                f"`documents[{number}]` must be a text, or an object with one.", param=f"documents[{number}]"
            )
        texts.append(text)
    return texts


def _ranked(results: list[Any], asked: Asked) -> list[JSON]:
    documents = _documents(asked)
    top = typed(asked.fields.get("top_n", b"null"), int | None, "top_n")
    shown = typed(asked.fields.get("return_documents", b"null"), bool | None, "return_documents")
    ranked = []
    for result in results:
        index = result.get("index") if isinstance(result, dict) else None
        score = result.get("relevance_score") if isinstance(result, dict) else None
        if not isinstance(index, int) or not isinstance(score, int | float) or not 0 <= index < len(documents):
            raise UpstreamProtocolError("The vendor's answer ranks what it was not given.")
        document: JSON = {"document": {"text": documents[index]}} if shown else {}
        ranked.append({"index": index, "relevance_score": score, **document})
    ranked.sort(key=lambda result: -result["relevance_score"])
    return ranked[:top] if top else ranked
