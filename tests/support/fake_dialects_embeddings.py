"""Fakes of the vendors' embeddings, each with its own shape, and its own limit to the texts of one call."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from struct import pack

from processor.wire.json import JSON
from tests.support.fake_dialects_model import check_fields, tokens
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply

_LATER = 0.02


def vector(text: str, dimensions: int = 4) -> list[float]:
    """A text's vector: another one for another text, its numbers exact in 32 bits."""
    code = text.encode()
    numbers = [len(code) / 64, sum(code) % 1024 / 1024, code[-1] / 256, -0.5]
    return [numbers[at % 4] for at in range(dimensions)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIEmbedder:
    """OpenAI's shape, with a vendor's limits."""

    batches: tuple[tuple[str, int], ...] = (("*", 2048),)
    """Shell-style patterns of models, and the texts they take; the first that fits."""
    base64: bool = True
    dimensions: bool = True
    token_arrays: bool = True

    def __call__(self, request: Received) -> Reply:
        """The reply of `/embeddings`."""
        assert request.header("authorization"), "no authorization"
        body = request.json()
        check_fields(body, "encoding_format dimensions user", "the body", required="model input")
        assert self.dimensions or "dimensions" not in body, "`dimensions` is not a parameter of this model"
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        most = next(most for models, most in self.batches if fnmatch(body["model"], models))
        assert 1 <= len(texts) <= most, f"batch size is invalid, it should not be larger than {most}"
        assert all(isinstance(text, str) for text in texts), "a text that is none"
        form = body.get("encoding_format", "float")
        assert form == "float" or self.base64, f"the encoding format {form} is not supported"
        vectors = [vector(text, body.get("dimensions", 4)) for text in texts]
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(found) if form == "base64" else found}
            for index, found in enumerate(vectors)
        ]
        used = sum(map(tokens, texts))
        usage = {"prompt_tokens": used, "total_tokens": used}
        return _in_time({"object": "list", "data": data, "model": body["model"], "usage": usage}, texts)


def minimax(request: Received) -> Reply:
    """MiniMax's own shape."""
    body = request.json()
    check_fields(body, "", "the body", required="model texts type")
    assert body["type"] in ("db", "query"), body["type"]
    vectors = [vector(text) for text in body["texts"]]
    wellness = {"base_resp": {"status_code": 0, "status_msg": "success"}}
    return Reply.json({"vectors": vectors, "total_tokens": sum(map(tokens, body["texts"])), **wellness})


def gemini(request: Received) -> Reply:
    """The reply of `:batchEmbedContents`; the older model does not count."""
    assert request.header("x-goog-api-key"), "no x-goog-api-key"
    body = request.json()
    check_fields(body, "", "the body", required="requests")
    assert 1 <= len(body["requests"]) <= 100, "at most 100 requests can be in one batch"
    texts = []
    model = request.path.removeprefix("/v1beta/").partition(":")[0]
    for wanted in body["requests"]:
        check_fields(wanted, "taskType title outputDimensionality", "a request", required="model content")
        assert wanted["model"] == model, wanted["model"]
        texts.append(" ".join(part["text"] for part in wanted["content"]["parts"]))
    sizes = [wanted.get("outputDimensionality", 4) for wanted in body["requests"]]
    found: JSON = {"embeddings": [{"values": vector(text, size)} for text, size in zip(texts, sizes, strict=True)]}
    if not model.endswith("-001"):
        found["usageMetadata"] = {"promptTokenCount": sum(map(tokens, texts))}
    return _in_time(found, texts)


def titan(request: Received) -> Reply:
    """The reply of `/model/amazon.titan-…/invoke`: one text a call."""
    assert request.header("authorization"), "no authorization"
    body = request.json()
    check_fields(body, "dimensions normalize", "the body", required="inputText")
    assert isinstance(body["inputText"], str), "one text a call"
    found = vector(body["inputText"], body.get("dimensions", 4))
    answer = {"embedding": found, "inputTextTokenCount": tokens(body["inputText"])}
    return _in_time(answer, [body["inputText"]])


OPENAI = OpenAIEmbedder()
ALI = OpenAIEmbedder(batches=(("text-embedding-v[12]", 25), ("*", 10)), base64=False)
SILICONFLOW = OpenAIEmbedder(batches=(("*", 32),), dimensions=False)

_BY_MODEL: tuple[tuple[str, Callable[[Received], Reply]], ...] = (
    ("embo-*", minimax),
    ("BAAI/*", SILICONFLOW),
    ("*", OPENAI),
)


def embeddings(request: Received) -> Reply:
    """The reply of `/v1/embeddings`, which several vendors have."""
    model = request.json()["model"]
    return next(speaker for models, speaker in _BY_MODEL if fnmatch(model, models))(request)


def _packed(numbers: list[float]) -> str:
    return base64.b64encode(pack(f"<{len(numbers)}f", *numbers)).decode()


def _in_time(answer: JSON, texts: list[str]) -> Reply:
    """The answer, the sooner the fewer texts it is about: batches asked for together do not return in order."""
    return Reply.json(answer).after(_LATER if len(texts) > 1 or len(texts[0]) % 2 else 0.0)
