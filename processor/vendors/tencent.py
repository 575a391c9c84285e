"""Tencent Hunyuan. One system message, and it comes first, or the answer is a 400.

Pictures are offered by TokenHub, the newer platform, which is another host: `dialect: tokenhub` with
`base_url: https://tokenhub.tencentmaas.com`.
"""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_tencent import TencentImages
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import ALL, Drop
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, SYSTEM_FIRST, Messages
from processor.dialects.openai_chat_repairs import FinishReasons
from processor.domain import Feature, Operation
from processor.vendors._parameters import OPENAI_ONLY, PENALTIES
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="tencent",
    origin="https://api.hunyuan.cloud.tencent.com",
    env=("HUNYUAN_API_KEY",),
    models=("hunyuan-turbos-latest", "hunyuan-t1-latest"),
    hosts={
        "/asr/v2": "https://asr.cloud.tencent.com",
        "/asr/v3": "https://asr.cloud-rtc.com",
        "/stream_wsv2": "https://tts.cloud.tencent.com",
    },
    lacks=frozenset({Feature.STRUCTURED}),
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(
            path="/v1/embeddings", batches=((ALL, 1),), base64=False, tokens=False, dimensions=()
        ),
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(Messages((DEVELOPER_TO_SYSTEM, SYSTEM_FIRST)), Drop(OPENAI_ONLY | PENALTIES)),
            repairs=(FinishReasons({"sensitive": "content_filter"}),),
        ),
    },
    dialects={"tokenhub": {Operation.IMAGE_GENERATION: TencentImages()}},
)
