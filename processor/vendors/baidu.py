"""Baidu Qianfan v2. Turns must alternate, and names of models are in lower case."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_flat import FlatImages, same
from processor.dialects.images_request import Counts
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import ALL, Drop, Effort, LowerCaseModel
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS, Messages
from processor.dialects.openai_chat_repairs import FinishReasons
from processor.dialects.rerank import Rerank
from processor.domain import Operation
from processor.vendors._parameters import ENABLE_THINKING, OPENAI_ONLY
from processor.vendors._vendor import Vendor

_COUNTS = Counts(most=(("*", 4),))
_DRAWING = same("guidance", "negative_prompt", "seed", "steps", "user")
_STATUSES = {
    **dict.fromkeys(("invalid_argument", "invalid_model", "malformed_json", "characters_too_long"), 400),
    **dict.fromkeys(("invalid_image_generation_prompt", "invalid_image_url"), 400),
    **dict.fromkeys(("invalid_appid", "invalid_iam_token"), 401),
}

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
        Operation.EMBEDDINGS: OpenAIEmbeddings(
            path="/v2/embeddings",
            batches=((("tao-8k*",), 1), (ALL, 16)),
            base64=False,
            tokens=False,
            lists=True,
            lower_case=True,
        ),
        Operation.RERANK: Rerank(path="/v2/rerank", returns=False),
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
        Operation.IMAGE_GENERATION: FlatImages(
            path="/v2/images/generations",
            counts=_COUNTS,
            takes=_DRAWING | same("refer_image"),
            lower_case=True,
            statuses=_STATUSES,
        ),
        Operation.IMAGE_EDIT: FlatImages(
            path="/v2/images/edits",
            counts=_COUNTS,
            pictures=("image",),
            takes=_DRAWING,
            lower_case=True,
            statuses=_STATUSES,
        ),
    },
)
