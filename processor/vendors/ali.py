"""Alibaba DashScope, in its OpenAI-compatible mode, or natively as the dialect `dashscope`."""

from __future__ import annotations

from processor.dialects.by_model import ByModel
from processor.dialects.dashscope_chat import DashScopeChat
from processor.dialects.dashscope_speech import DashScopeSpeech
from processor.dialects.dashscope_transcription import DashScopeTranscription
from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.embeddings_native import NativeEmbeddings, dashscope_body, dashscope_read
from processor.dialects.image_sizes import Sides
from processor.dialects.images_dashscope import DashScopeImages
from processor.dialects.images_request import Counts
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import ALL, Drop, Effort, Set, StreamOnly
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.dialects.openai_relay import OpenAIRelay
from processor.dialects.rerank import Rerank
from processor.dialects.speech import cast
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY, THINKING_BUDGET
from processor.vendors._vendor import Vendor

_QWEN3_OPEN = tuple(f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b", "30b-a3b", "235b-a22b"))
"""They think by default, and refuse to where the answer is not streamed."""
_STREAM_ONLY = ("qwq*", "qvq*", "qwen*-omni*")
_MULTIMODAL = ("qwen*-vl*", "qvq*", "qwen*-audio*", "qwen*-ocr*", "qwen3.5*", "qwen3.6*")
"""Models whose native path is the multimodal one. The omni models have none: they speak in compatible mode only."""
_EFFORT_KNOWN = ("deepseek*", "kimi*", "glm*")
"""Models of other houses, which take `reasoning_effort` as it is."""

_DRAW_IN_TASKS = ("wanx*", "wan2.0-*", "wan2.1-*", "wan2.2-*", "wan2.5-*")
_DRAWN_AT_ONCE = Counts(most=(("qwen-image-2*", 6), ("qwen-image-3*", 6), ("wan*", 4)))
"""Pictures of one call. `n` is always sent: some models make four if they are not told."""
_SIZES = (
    Sides(
        between="*",
        choices=("1328*1328", "1472*1140", "1140*1472", "1664*928", "928*1664"),
        models=("qwen-image", "qwen-image-plus*", "qwen-image-max*"),
    ),
    Sides(between="*"),
)

_MULTIMODAL_EMBEDDINGS = ("multimodal-embedding*", "tongyi-embedding-vision*", "*-vl-embedding*")

VENDOR = Vendor(
    name="ali",
    origin="https://dashscope.aliyuncs.com",
    env=("DASHSCOPE_API_KEY",),
    models=("qwen-max", "qwen-plus", "qwen-turbo", "qwen3-max"),
    operations={
        Operation.EMBEDDINGS: ByModel(
            choices=(
                (
                    _MULTIMODAL_EMBEDDINGS,
                    NativeEmbeddings(
                        path="/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding",
                        body=dashscope_body,
                        read=dashscope_read,
                        takes=("dimensions",),
                        batch=10,
                    ),
                ),
            ),
            otherwise=OpenAIEmbeddings(
                path="/compatible-mode/v1/embeddings",
                batches=((("text-embedding-v[12]*", "text-embedding-async*"), 25), (ALL, 10)),
                base64=False,
                tokens=False,
                dimensions=("text-embedding-v[34]*",),
            ),
        ),
        Operation.RERANK: Rerank(path="/compatible-api/v1/reranks", returns=False),
        Operation.CHAT: OpenAIChat(
            path="/compatible-mode/v1/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM,)),
                Drop((OPENAI_ONLY - {"modalities", "audio"}) | {"frequency_penalty", "logit_bias"}),
                Effort(THINKING_BUDGET, unless=_EFFORT_KNOWN),
                Set("enable_thinking", value=False, models=_QWEN3_OPEN, whole_only=True),
                StreamOnly(_STREAM_ONLY),
            ),
        ),
        Operation.RESPONSES: OpenAIRelay(path="/compatible-mode/v1/responses"),
        Operation.SPEECH: DashScopeSpeech(voices=cast(high=("Cherry", "Serena", "Chelsie"), low=("Ethan",))),
        Operation.TRANSCRIPTION: DashScopeTranscription(),
        Operation.IMAGE_GENERATION: DashScopeImages(tasks=_DRAW_IN_TASKS, counts=_DRAWN_AT_ONCE, sizes=_SIZES),
        Operation.IMAGE_EDIT: DashScopeImages(edit=True, counts=_DRAWN_AT_ONCE, sizes=_SIZES),
    },
    dialects={
        "dashscope": {
            Operation.CHAT: DashScopeChat(
                multimodal=_MULTIMODAL,
                stream_only=_STREAM_ONLY,
                thinks_streamed=_QWEN3_OPEN,
                efforts=THINKING_BUDGET,
                effort_known=_EFFORT_KNOWN,
            ),
        },
    },
)
