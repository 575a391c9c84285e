"""The gateway's own values: frozen, without behaviour beyond arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """Which way in a request took."""

    OPENAI = "openai"
    PASSTHROUGH = "passthrough"


class Operation(StrEnum):
    """What was asked for; OpenTelemetry's names where it has one."""

    CHAT = "chat"
    TEXT_COMPLETION = "text_completion"
    MESSAGES = "messages"
    RESPONSES = "responses"
    GENERATE_CONTENT = "generate_content"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    IMAGE_GENERATION = "image_generation"
    IMAGE_EDIT = "image_edit"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"
    MODERATIONS = "moderations"
    MODELS = "models"
    REALTIME = "realtime"
    OTHER = "other"


class Feature(StrEnum):
    """What a chat may do beside answering whole, in text."""

    STREAMED = "streamed"
    TOOLS = "tools"
    VISION = "vision"
    STRUCTURED = "structured"
    """An answer that follows a JSON schema."""
    REASONING = "reasoning"
    """Thinking that the client gets to see."""


class CacheVerdict(StrEnum):
    """What became of a request whose model keeps answers."""

    HIT = "hit"
    """It was given the answer of an earlier one."""
    MISS = "miss"


class UsageSource(StrEnum):
    """How far a record's token counts can be trusted."""

    PROVIDER = "provider"
    """The vendor's own final count."""
    PARTIAL = "partial"
    """The exchange was cut before the vendor's final count: the last running count, or an estimate of what was sent."""
    ESTIMATED = "estimated"
    """The answer was whole and held no count: estimated from its text."""
    NONE = "none"
    """Nothing was generated, or nothing on this path counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was counted of one exchange. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    seconds: float | None = None
    """Of sound; None where nobody counted any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """One finished request, in either mode: what is metered, listed and billed."""

    request_id: str
    time: float
    """When the request arrived, seconds since the epoch."""
    mode: Mode
    operation: Operation
    method: str = ""
    path: str = ""
    """Without its query: vendors take keys there."""
    key: str = ""
    """The gateway key's name; empty in passthrough and when no key was recognised."""
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    attempts: int = 0
    """Requests sent to vendors; 0 when the gateway answered itself."""
    failed_attempts: str = ""
    """Those before the last, as a JSON list of `{"target", "status", "error", "ms"}`; empty when there were none.
    A status of 0 is no answer at all; without `ms` there was no connection either.
    """
    team: str = ""
    """The gateway key's."""
    cost: str = ""
    """By the price table, as an exact decimal; empty where a price is not known, or nothing was used."""
    currency: str = ""
    """Three letters; empty without a cost."""
    malformed_events: int = 0
    """Events of the vendor's stream that could not be read, and were left out."""
    rescued: int = 0
    """1 where a stream that broke off was answered to its end by another target."""
    cache: str = ""
    """A `CacheVerdict`; empty where no answers are kept."""
    status: int = 0
    """What the client saw; 0 when it left before an answer began."""
    error: str = ""
    """The OpenAI error code the gateway answered with, if it did."""
    response_flags: str = ""
    """Envoy's, such as DC (client hung up) or UF (no connection to the vendor); empty when all went well."""
    usage: Usage = Usage()
    usage_source: UsageSource = UsageSource.NONE
    ttft_ms: float | None = None
    """From arrival to the first content sent to the client; None when none was."""
    duration_ms: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
