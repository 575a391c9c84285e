"""The form a vendor fills in: who it is, where it is, what it speaks. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processor.auth.credentials import BEARER, HeaderKey
from processor.dialects.base import Translator
from processor.domain import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A company's API. `name` is its id in `gateway.yaml` and the first segment of its passthrough paths."""

    name: str
    origin: str
    """Scheme and host, with a port if it is not the scheme's own: `https://api.deepseek.com`."""
    env: tuple[str, ...] = ()
    """Environment variables whose presence switches the vendor on without configuration, first found wins."""
    auth: HeaderKey = BEARER
    operations: Mapping[Operation, Translator] = field(default_factory=dict)
    """What it offers in OpenAI mode. Its keys are the capability table."""
    models: tuple[str, ...] = ()
    """Well-known chat models, listed by `/v1/models` when there is no configuration."""
    aliases: tuple[str, ...] = ()
    """Other spellings accepted in passthrough paths and configuration."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Passthrough path prefix to the origin that serves it, where it is not `origin`; longest prefix wins."""
    otel_name: str = ""
    """`gen_ai.provider.name`, where OpenTelemetry's differs from `name`."""
