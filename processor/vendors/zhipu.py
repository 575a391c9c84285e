"""Zhipu BigModel (GLM). Usage comes in the finish chunk, tool calls with an index of -1."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import (
    DEVELOPER_TO_SYSTEM,
    Clamp,
    Drop,
    Effort,
    Keep,
    Rename,
    SchemaToObject,
)
from processor.dialects.openai_chat_repairs import FinishReasons, ToolCalls
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY, PENALTIES, THINKING_TYPE
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="zhipu",
    origin="https://open.bigmodel.cn",
    env=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    models=("glm-5", "glm-4.6", "glm-4.5-air"),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/api/paas/v4/chat/completions",
            edits=(
                DEVELOPER_TO_SYSTEM,
                SchemaToObject(),
                Drop(OPENAI_ONLY | PENALTIES | {"n", "seed", "logprobs", "top_logprobs", "logit_bias"}),
                Keep("tool_choice", ("auto",)),
                Clamp("temperature", 0.01, 0.99),
                Clamp("top_p", 0.01, 0.99),
                Rename("user", "user_id"),
                Effort(THINKING_TYPE),
            ),
            repairs=(
                ToolCalls(),
                FinishReasons(
                    {"sensitive": "content_filter", "network_error": "stop", "model_context_window_exceeded": "length"}
                ),
            ),
        ),
    },
)
