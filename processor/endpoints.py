"""The OpenAI-compatible endpoints: path and method to operation, and what each takes. One table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from processor.domain import Operation
from processor.schema.error import ANTHROPIC_ERRORS, BINARY_ERRORS, OPENAI_ERRORS, RESPONSES_ERRORS, ErrorForm


class Streams(Enum):
    """When an answer comes piece by piece."""

    NEVER = auto()
    IF_ASKED = auto()
    """With `stream: true`."""
    ALWAYS = auto()
    """Sound goes on as it comes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the OpenAI surface; it also answers under `/v1`."""

    path: str
    method: str
    operation: Operation
    required: tuple[str, ...] = ()
    """Fields without which no vendor could answer."""
    lists: tuple[str, ...] = ()
    """Those of them that must be lists."""
    form: bool = False
    """Whether the body is a form with files; JSON if not."""
    streams: Streams = Streams.NEVER
    errors: ErrorForm = OPENAI_ERRORS
    subpaths: bool = False
    """Whether what follows the path (`/models/gpt-5`) belongs to it."""


ENDPOINTS = (
    Endpoint("/chat/completions", "POST", Operation.CHAT, ("messages",), lists=("messages",), streams=Streams.IF_ASKED),
    Endpoint("/completions", "POST", Operation.TEXT_COMPLETION, ("prompt",), streams=Streams.IF_ASKED),
    Endpoint("/responses", "POST", Operation.RESPONSES, ("input",), streams=Streams.IF_ASKED, errors=RESPONSES_ERRORS),
    Endpoint(
        "/messages",
        "POST",
        Operation.MESSAGES,
        ("messages", "max_tokens"),
        lists=("messages",),
        streams=Streams.IF_ASKED,
        errors=ANTHROPIC_ERRORS,
    ),
    Endpoint("/embeddings", "POST", Operation.EMBEDDINGS, ("input",)),
    Endpoint("/rerank", "POST", Operation.RERANK, ("query", "documents"), lists=("documents",)),
    Endpoint("/images/generations", "POST", Operation.IMAGE_GENERATION, ("prompt",), streams=Streams.IF_ASKED),
    Endpoint("/images/edits", "POST", Operation.IMAGE_EDIT, ("prompt",), form=True, streams=Streams.IF_ASKED),
    Endpoint("/audio/speech", "POST", Operation.SPEECH, ("input",), streams=Streams.ALWAYS, errors=BINARY_ERRORS),
    Endpoint("/audio/transcriptions", "POST", Operation.TRANSCRIPTION, form=True, streams=Streams.IF_ASKED),
    Endpoint("/audio/translations", "POST", Operation.TRANSLATION, form=True),
    Endpoint("/moderations", "POST", Operation.MODERATIONS, ("input",)),
    Endpoint("/models", "GET", Operation.MODELS, subpaths=True),
)

HEALTH_PATH = "/healthz"

_BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}
_BY_OPERATION = {endpoint.operation: endpoint for endpoint in ENDPOINTS}


def find(path: str) -> Endpoint | None:
    """The endpoint a request path (with or without `/v1`, query cut off) names."""
    path = path.removeprefix("/v1")
    if endpoint := _BY_PATH.get(path):
        return endpoint
    return next((e for e in ENDPOINTS if e.subpaths and path.startswith(e.path + "/")), None)


def endpoint_of(operation: Operation) -> Endpoint:
    """The endpoint that asks for an operation."""
    return _BY_OPERATION[operation]
