"""Moonshot (Kimi). Its streams have long had their usage in the choice of the finish chunk."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, FILL_EMPTY_ASSISTANT, Messages
from processor.dialects.openai_chat_repairs import HoistUsage
from processor.domain import Operation
from processor.vendors._parameters import LOW_HIGH_MAX, OPENAI_ONLY, PENALTIES
from processor.vendors._vendor import Vendor

_FIXED_SAMPLING = ("kimi-k2.5*", "kimi-k2.6*", "kimi-k3*")
"""Models that answer 400 to any sampling parameter but their own."""
_EFFORT_KNOWN = ("kimi-k3*",)

VENDOR = Vendor(
    name="moonshot",
    origin="https://api.moonshot.cn",
    env=("MOONSHOT_API_KEY",),
    models=("kimi-k3", "kimi-k2.6", "kimi-k2.5", "kimi-k2-turbo-preview"),
    otel_name="moonshot_ai",
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM, FILL_EMPTY_ASSISTANT)),
                Drop(OPENAI_ONLY - {"prompt_cache_key", "safety_identifier"}),
                Drop(PENALTIES | {"n", "temperature", "top_p"}, models=_FIXED_SAMPLING),
                Drop(frozenset({"reasoning_effort"}), unless=_EFFORT_KNOWN),
                Effort(LOW_HIGH_MAX),
            ),
            repairs=(HoistUsage(),),
        ),
    },
)
