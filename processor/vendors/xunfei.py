"""iFlytek MaaS. Errors come as a `code` other than 0 inside a 200; Spark's answers have a `sid` and no `id`."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import DEVELOPER_TO_SYSTEM, Drop, Effort
from processor.dialects.openai_chat_repairs import CodeInside, MissingId, ToolCalls
from processor.domain import Operation
from processor.vendors._parameters import ENABLE_THINKING, OPENAI_ONLY
from processor.vendors._vendor import Vendor

_STATUSES = {
    10003: 400,
    10004: 400,
    10005: 400,
    10006: 429,
    10007: 429,
    10008: 503,
    10010: 402,
    10013: 400,
    10014: 400,
    10019: 400,
    10110: 503,
    10163: 400,
    10907: 400,
    11200: 403,
    11201: 429,
    11202: 429,
    11203: 429,
}

VENDOR = Vendor(
    name="xunfei",
    origin="https://maas-api.cn-huabei-1.xf-yun.com",
    env=("XUNFEI_API_KEY", "SPARK_API_KEY"),
    hosts={
        "/v2/iat": "https://iat-api.xfyun.cn",
        "/v2/ist": "https://ist-api.xfyun.cn",
        "/v2/tts": "https://tts-api.xfyun.cn",
        "/v1/ws": "https://rtasr.xfyun.cn",
        "/v1/private": "https://cbm01.cn-huabei-1.xf-yun.com",
        "/v2.1/tti": "https://spark-api.cn-huabei-1.xf-yun.com",
        "/ast/communicate": "https://office-api-ast-dx.iflyaisol.com",
    },
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(DEVELOPER_TO_SYSTEM, Drop(OPENAI_ONLY), Effort(ENABLE_THINKING)),
            repairs=(MissingId(), ToolCalls()),
            check=CodeInside(("code",), "message", _STATUSES),
        ),
    },
)
