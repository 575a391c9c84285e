"""OpenAI: the dialect itself."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.domain import Operation
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="openai",
    origin="https://api.openai.com",
    env=("OPENAI_API_KEY",),
    models=("gpt-5.2", "gpt-5-mini", "gpt-4.1", "gpt-4o-mini"),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
        ),
    },
)
