"""DeepSeek. While a request waits, blank lines or `: keep-alive` comments come before the answer."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import DEVELOPER_TO_SYSTEM, Drop, SchemaToObject
from processor.dialects.openai_chat_repairs import FinishReasons
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="deepseek",
    origin="https://api.deepseek.com",
    env=("DEEPSEEK_API_KEY",),
    models=("deepseek-chat", "deepseek-reasoner"),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/chat/completions",
            edits=(
                DEVELOPER_TO_SYSTEM,
                SchemaToObject(),
                Drop(OPENAI_ONLY | {"logit_bias", "n", "parallel_tool_calls", "seed", "user"}),
            ),
            repairs=(FinishReasons({"insufficient_system_resource": "stop"}),),
        ),
    },
)
