"""MiniMax. A status of 200 is not success: `base_resp.status_code` says."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import DEVELOPER_TO_SYSTEM, Clamp, Drop, Keep, Rename, Set
from processor.dialects.openai_chat_repairs import CodeInside
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY, PENALTIES
from processor.vendors._vendor import Vendor

_STATUSES = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    1026: 400,
    1027: 400,
    1028: 429,
    1030: 429,
    1033: 500,
    1039: 429,
    1041: 429,
    1042: 400,
    2013: 400,
    2049: 401,
    2056: 429,
    2061: 403,
}

VENDOR = Vendor(
    name="minimax",
    origin="https://api.minimaxi.com",
    env=("MINIMAX_API_KEY",),
    models=("MiniMax-M2", "MiniMax-M1"),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(
                DEVELOPER_TO_SYSTEM,
                Drop(OPENAI_ONLY | PENALTIES | {"logit_bias", "n"}),
                Rename("max_tokens", "max_completion_tokens"),
                Clamp("temperature", 0.01, 1.0),
                Clamp("top_p", 0.01, 1.0),
                Keep("tool_choice", ("none", "auto")),
                # Otherwise the thinking stands inside the content, between <think> tags.
                Set("reasoning_split", value=True),
            ),
            check=CodeInside(("base_resp", "status_code"), "status_msg", _STATUSES),
        ),
    },
)
