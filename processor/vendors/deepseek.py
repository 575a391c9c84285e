"""DeepSeek. While a request waits, blank lines or `: keep-alive` comments come before the answer."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort, SchemaToObject
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, FLATTEN_TEXT, Messages
from processor.dialects.openai_chat_repairs import FinishReasons
from processor.domain import Feature, Operation
from processor.vendors._parameters import LOGPROBS, LOW_HIGH_MAX, OPENAI_ONLY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="deepseek",
    origin="https://api.deepseek.com",
    env=("DEEPSEEK_API_KEY",),
    models=("deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro"),
    lacks=frozenset({Feature.VISION}),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM, FLATTEN_TEXT)),
                SchemaToObject(),
                Drop(OPENAI_ONLY | {"logit_bias", "n", "parallel_tool_calls", "seed", "user"}),
                Drop(LOGPROBS, models=("deepseek-reasoner*",)),
                Effort(LOW_HIGH_MAX),
            ),
            repairs=(FinishReasons({"insufficient_system_resource": "stop"}),),
        ),
        Operation.TEXT_COMPLETION: OpenAIChat(
            path="/beta/completions",
            edits=(Drop(OPENAI_ONLY | {"best_of", "logit_bias", "n", "seed", "user"}),),
            repairs=(FinishReasons({"insufficient_system_resource": "stop"}),),
        ),
    },
)
