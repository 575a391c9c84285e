"""Alibaba DashScope, in its OpenAI-compatible mode."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort, Set, StreamOnly
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY, THINKING_BUDGET
from processor.vendors._vendor import Vendor

_QWEN3_OPEN = tuple(f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b", "30b-a3b", "235b-a22b"))
"""They think by default, and refuse to where the answer is not streamed."""
_STREAM_ONLY = ("qwq*", "qvq*", "qwen*-omni*")
_EFFORT_KNOWN = ("deepseek*", "kimi*", "glm*")
"""Models of other houses, which take `reasoning_effort` as it is."""

VENDOR = Vendor(
    name="ali",
    origin="https://dashscope.aliyuncs.com",
    env=("DASHSCOPE_API_KEY",),
    models=("qwen-max", "qwen-plus", "qwen-turbo", "qwen3-max"),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/compatible-mode/v1/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM,)),
                Drop((OPENAI_ONLY - {"modalities", "audio"}) | {"frequency_penalty", "logit_bias"}),
                Effort(THINKING_BUDGET, unless=_EFFORT_KNOWN),
                Set("enable_thinking", value=False, models=_QWEN3_OPEN, whole_only=True),
                StreamOnly(_STREAM_ONLY),
            ),
        ),
    },
)
