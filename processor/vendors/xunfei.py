"""iFlytek MaaS. Errors come as a `code` other than 0 inside a 200; Spark's answers have a `sid` and no `id`."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_openai import OpenAIImages
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort, SchemaToObject
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.dialects.openai_chat_repairs import SparkEnvelope, ToolCalls
from processor.dialects.openai_chat_rules import CodeInside
from processor.dialects.rerank import Rerank
from processor.domain import Feature, Operation
from processor.vendors._parameters import ENABLE_THINKING, OPENAI_ONLY
from processor.vendors._vendor import Vendor

_STATUSES = {
    10003: 400,  # format
    10004: 400,  # schema
    10005: 400,  # value
    10006: 429,  # a user's concurrency
    10007: 429,  # busy with the last request
    10008: 503,  # capacity
    10010: 402,  # credit
    10013: 400,  # input filter
    10014: 400,  # output filter
    10019: 400,  # sensitive
    10110: 503,  # busy
    10163: 400,  # parameters
    10907: 400,  # too many tokens
    11200: 403,  # not authorised
    11201: 429,  # the day's quota
    11202: 429,  # requests a second
    11203: 429,  # concurrency
}

_CHECK = CodeInside(("code",), "message", _STATUSES)

VENDOR = Vendor(
    name="xunfei",
    origin="https://maas-api.cn-huabei-1.xf-yun.com",
    env=("XUNFEI_API_KEY", "SPARK_API_KEY"),
    models=("xdeepseekv32", "xdeepseekr1", "xop3qwen1b7"),
    hosts={
        "/v2/iat": "https://iat-api.xfyun.cn",
        "/v2/ist": "https://ist-api.xfyun.cn",
        "/v2/tts": "https://tts-api.xfyun.cn",
        "/v1/ws": "https://rtasr.xfyun.cn",
        "/v1/private": "https://cbm01.cn-huabei-1.xf-yun.com",
        "/v2.1/tti": "https://spark-api.cn-huabei-1.xf-yun.com",
        "/ast/communicate": "https://office-api-ast-dx.iflyaisol.com",
    },
    lacks=frozenset({Feature.VISION}),
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(path="/v2/embeddings", tokens=False, check=_CHECK),
        Operation.RERANK: Rerank(path="/v2/rerank"),
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(Messages((DEVELOPER_TO_SYSTEM,)), SchemaToObject(), Drop(OPENAI_ONLY), Effort(ENABLE_THINKING)),
            repairs=(SparkEnvelope(), ToolCalls()),
            check=_CHECK,
        ),
        # As other gateways know it: the vendor does not document it.
        Operation.IMAGE_GENERATION: OpenAIImages(
            path="/v2/images/generations", statuses={str(code): status for code, status in _STATUSES.items()}
        ),
    },
)
