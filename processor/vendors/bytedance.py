"""ByteDance: Volcengine Ark, and openspeech for voices."""

from __future__ import annotations

from dataclasses import replace

from processor.dialects.by_model import ByModel
from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.embeddings_native import NativeEmbeddings, ark_body, ark_read
from processor.dialects.image_sizes import Sides
from processor.dialects.images_flat import FlatImages, same
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, Effort, OneOf
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.dialects.openai_relay import OpenAIRelay
from processor.domain import Operation
from processor.vendors._parameters import MINIMAL_TO_HIGH, OPENAI_ONLY
from processor.vendors._vendor import Vendor

_SEEDREAM = FlatImages(
    path="/api/v3/images/generations",
    sizes=(
        Sides(
            choices=("2048x2048", "2496x1664", "1664x2496", "2560x1440", "1440x2560"),
            below=2560 * 1440,  # fewer pixels are refused
            models=("*seedream-4-5*", "*seedream-5*"),
        ),
        Sides(),
    ),
    forms={"url": "url", "b64_json": "b64_json"},
    takes=same(
        "guidance_scale",
        "image",
        "optimize_prompt_options",
        "output_format",
        "seed",
        "sequential_image_generation",
        "sequential_image_generation_options",
        "tools",
        "watermark",
    ),
    always={"watermark": False},  # which is otherwise put on every picture
)

VENDOR = Vendor(
    name="bytedance",
    origin="https://ark.cn-beijing.volces.com",
    env=("ARK_API_KEY",),
    models=("doubao-seed-1-6-250615", "doubao-seed-1-6-flash-250615", "deepseek-v3-250324"),
    hosts={
        f"/api/{path}": "https://openspeech.bytedance.com"
        for path in (
            "v1/tts",
            "v1/vc",
            "v1/asr",
            "v1/auc",
            "v1/mega_tts",
            "v2/asr",
            "v3/tts",
            "v3/sauc",
            "v3/auc",
            "v3/plan/sauc",
            "v3/plan/tts",
            "v3/realtime",
        )
    },
    operations={
        Operation.EMBEDDINGS: ByModel(
            choices=(
                (
                    ("doubao-embedding-vision*",),
                    NativeEmbeddings(
                        path="/api/v3/embeddings/multimodal",
                        body=ark_body,
                        read=ark_read,
                        takes=("dimensions", "instructions", "sparse_embedding"),
                        batch=1,
                    ),
                ),
            ),
            otherwise=OpenAIEmbeddings(path="/api/v3/embeddings", tokens=False),
        ),
        Operation.CHAT: OpenAIChat(
            path="/api/v3/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM,)),
                Drop((OPENAI_ONLY - {"service_tier"}) | {"n"}),
                OneOf(("max_completion_tokens", "max_tokens")),
                Effort(MINIMAL_TO_HIGH),
            ),
        ),
        Operation.RESPONSES: OpenAIRelay(path="/api/v3/responses"),
        Operation.IMAGE_GENERATION: _SEEDREAM,
        Operation.IMAGE_EDIT: replace(_SEEDREAM, pictures=("image",)),
    },
)
