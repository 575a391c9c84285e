"""Zhipu BigModel (GLM). Usage comes in the finish chunk, tool calls with an index of -1."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_flat import FlatImages, same
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import ALL, Clamp, Drop, Effort, Listed, Rename, SchemaToObject, ToolChoice
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.dialects.openai_chat_repairs import FinishReasons, ToolCalls
from processor.dialects.rerank import Rerank
from processor.dialects.speech import OpenAISpeech, cast
from processor.dialects.transcription import OpenAITranscription
from processor.domain import Operation
from processor.vendors._parameters import LOGPROBS, OPENAI_ONLY, PENALTIES, THINKING_TYPE
from processor.vendors._vendor import Vendor

_STATUSES = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1111"), 401),
    **dict.fromkeys(("1110", "1112", "1120", "1220"), 403),  # the account; no permission
    **dict.fromkeys(("1210", "1211", "1214", "1261", "1301"), 400),  # parameters, model, length, content filter
    **dict.fromkeys(("1113", "1302", "1303", "1305", "1308", "1309", "1310", "1313"), 429),  # balance, limits, plan
    **dict.fromkeys(("1230", "1234"), 500),
}

_QUALITY = {
    **dict.fromkeys(("low", "medium", "standard"), "standard"),
    **dict.fromkeys(("high", "hd"), "hd"),
    "auto": "",
}

VENDOR = Vendor(
    name="zhipu",
    origin="https://open.bigmodel.cn",
    env=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    models=("glm-5", "glm-4.6", "glm-4.5-air"),
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(
            path="/api/paas/v4/embeddings",
            batches=((ALL, 64),),
            base64=False,
            tokens=False,
            dimensions=("embedding-3*",),
            statuses=_STATUSES,
        ),
        Operation.RERANK: Rerank(path="/api/paas/v4/rerank", statuses=_STATUSES),
        Operation.CHAT: OpenAIChat(
            path="/api/paas/v4/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM,)),
                SchemaToObject(),
                Drop(OPENAI_ONLY | PENALTIES | LOGPROBS | {"n", "seed", "logit_bias"}),
                ToolChoice(("auto",)),
                Clamp("temperature", 0.01, 0.99),
                Clamp("top_p", 0.01, 0.99),
                Listed("stop"),
                Rename("user", "user_id"),
                Effort(THINKING_TYPE),
            ),
            repairs=(
                ToolCalls(),
                FinishReasons(
                    {"sensitive": "content_filter", "network_error": "stop", "model_context_window_exceeded": "length"}
                ),
            ),
            statuses=_STATUSES,
        ),
        Operation.SPEECH: OpenAISpeech(
            path="/api/paas/v4/audio/speech",
            takes=frozenset({"speed", "volume"}),
            formats=("wav", "pcm"),
            voices=cast(high=("tongtong",), low=("xiaochen", "chuichui")),
        ),
        Operation.TRANSCRIPTION: OpenAITranscription(
            path="/api/paas/v4/audio/transcriptions", takes=frozenset({"prompt", "request_id", "user_id"})
        ),
        Operation.IMAGE_GENERATION: FlatImages(
            path="/api/paas/v4/images/generations",
            takes={**same("watermark_enabled"), "user": "user_id"},
            words={"quality": _QUALITY},
            statuses=_STATUSES,
        ),
    },
)
