"""Anthropic: Messages, which chat is translated to (docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from processor.auth.credentials import X_API_KEY
from processor.dialects.anthropic_messages import AnthropicMessages
from processor.dialects.anthropic_relay import AnthropicRelay
from processor.domain import Operation
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="anthropic",
    origin="https://api.anthropic.com",
    env=("ANTHROPIC_API_KEY",),
    auth=X_API_KEY,
    models=("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"),
    operations={
        Operation.CHAT: AnthropicMessages(),
        Operation.MESSAGES: AnthropicRelay(),
    },
)
