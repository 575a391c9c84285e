"""Baidu Qianfan v2. Turns must alternate, and names of models are in lower case."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort, LowerCaseModel
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS, Messages
from processor.dialects.openai_chat_repairs import FinishReasons
from processor.domain import Operation
from processor.vendors._parameters import ENABLE_THINKING, OPENAI_ONLY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="baidu",
    origin="https://qianfan.baidubce.com",
    env=("QIANFAN_API_KEY",),
    models=("ernie-4.5-turbo-128k", "ernie-x1.1-preview"),
    hosts={
        "/realtime_asr": "https://vop.baidu.com",
        "/rpc/2.0": "https://aip.baidubce.com",
        "/ws/2.0": "https://aip.baidubce.com",
    },
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v2/chat/completions",
            edits=(
                LowerCaseModel(),
                Messages((DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS)),
                Drop(OPENAI_ONLY - {"metadata"}),
                Effort(ENABLE_THINKING),
            ),
            repairs=(FinishReasons({"normal": "stop"}),),
        ),
    },
)
