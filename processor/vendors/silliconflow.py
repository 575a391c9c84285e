"""SiliconFlow. Neighbours of one role may be refused; errors may be bare strings."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS, Messages
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY, THINKING_BUDGET
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="silliconflow",
    origin="https://api.siliconflow.cn",
    env=("SILICONFLOW_API_KEY",),
    models=("deepseek-ai/DeepSeek-V3.2", "Qwen/Qwen3-32B", "zai-org/GLM-4.6"),
    aliases=("siliconflow",),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS)),
                Drop(OPENAI_ONLY),
                Effort(THINKING_BUDGET),
            ),
            statuses={"20012": 404, "20015": 400, "30001": 403, "50505": 503},
        ),
    },
)
