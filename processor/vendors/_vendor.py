"""The form a vendor fills in: who it is, where it is, what it speaks. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from processor.auth.credentials import BEARER, Auth
from processor.dialects.base import Translator
from processor.dialects.inbound import Inbound, Over
from processor.dialects.inbound_completions import InboundCompletions
from processor.dialects.inbound_messages import InboundMessages
from processor.dialects.inbound_responses import InboundResponses
from processor.domain import Feature, Operation

_OVER_CHAT: Mapping[Operation, Inbound] = {
    Operation.MESSAGES: InboundMessages(),
    Operation.RESPONSES: InboundResponses(),
    Operation.TEXT_COMPLETION: InboundCompletions(),
}
"""What any vendor's chat can answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A company's API. `name` is its id in `gateway.yaml` and the first segment of its passthrough paths."""

    name: str
    origin: str
    """Scheme and host, with a port if it is not the scheme's own: `https://api.deepseek.com`. Empty where every
    account has a host of its own: the configuration's `base_url` then has to name it.
    """
    env: tuple[str, ...] = ()
    """Environment variables whose presence switches the vendor on without configuration, first found wins."""
    auth: Auth = BEARER
    operations: Mapping[Operation, Translator] = field(default_factory=dict)
    """What it offers in OpenAI mode by itself."""
    dialects: Mapping[str, Mapping[Operation, Translator]] = field(default_factory=dict)
    """Other dialects it speaks, by the name that chooses one in `gateway.yaml`; `operations` add what one lacks."""
    lacks: frozenset[Feature] = frozenset()
    """Features of chat that no model of the vendor offers."""
    models: tuple[str, ...] = ()
    """Well-known chat models, listed by `/v1/models` when there is no configuration."""
    aliases: tuple[str, ...] = ()
    """Other spellings accepted in passthrough paths and configuration."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Passthrough path prefix to the origin that serves it, where it is not `origin`; longest prefix wins."""
    otel_name: str = ""
    """`gen_ai.provider.name`, where OpenTelemetry's differs from `name`."""

    def translator(self, operation: Operation) -> Translator | None:
        """What answers an operation: the vendor's own, or its chat, asked in the operation's terms."""
        if own := self.operations.get(operation):
            return own
        chat, inbound = self.operations.get(Operation.CHAT), _OVER_CHAT.get(operation)
        return Over(inbound, chat) if chat and inbound else None

    def speaking(self, dialect: str) -> Vendor:
        """The vendor with one of its other dialects chosen."""
        return replace(self, operations={**self.operations, **self.dialects[dialect]})
