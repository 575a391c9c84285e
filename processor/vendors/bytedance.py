"""ByteDance: Volcengine Ark, and openspeech for voices."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort, OneOf
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.domain import Operation
from processor.vendors._parameters import MINIMAL_TO_HIGH, OPENAI_ONLY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="bytedance",
    origin="https://ark.cn-beijing.volces.com",
    env=("ARK_API_KEY",),
    models=("doubao-seed-1-6-250615", "doubao-seed-1-6-flash-250615", "deepseek-v3-250324"),
    hosts={
        f"/api/{path}": "https://openspeech.bytedance.com"
        for path in (
            "v1/tts",
            "v1/vc",
            "v1/asr",
            "v1/auc",
            "v1/mega_tts",
            "v2/asr",
            "v3/tts",
            "v3/sauc",
            "v3/auc",
            "v3/plan/sauc",
            "v3/plan/tts",
            "v3/realtime",
        )
    },
    operations={
        Operation.CHAT: OpenAIChat(
            path="/api/v3/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM,)),
                Drop((OPENAI_ONLY - {"service_tier"}) | {"n"}),
                OneOf(("max_completion_tokens", "max_tokens")),
                Effort(MINIMAL_TO_HIGH),
            ),
        ),
    },
)
