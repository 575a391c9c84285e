"""SiliconFlow. Neighbours of one role may be refused; errors may be bare strings."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.image_sizes import Sides
from processor.dialects.images_flat import FlatImages, same
from processor.dialects.images_request import Counts
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import ALL, Drop, Effort
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS, Messages
from processor.dialects.rerank import Rerank
from processor.dialects.speech import OpenAISpeech, cast
from processor.dialects.transcription import OpenAITranscription
from processor.domain import Operation
from processor.vendors._parameters import OPENAI_ONLY, THINKING_BUDGET
from processor.vendors._vendor import Vendor

_STATUSES = {"20012": 404, "20015": 400, "30001": 403, "50505": 503}

_COUNTS = Counts(name="batch_size", most=(("kwai-kolors/*", 4),))
_DRAWING = same("cfg", "guidance_scale", "negative_prompt", "num_inference_steps", "output_format", "seed")

VENDOR = Vendor(
    name="silliconflow",
    origin="https://api.siliconflow.cn",
    env=("SILICONFLOW_API_KEY",),
    models=("deepseek-ai/DeepSeek-V3.2", "Qwen/Qwen3-32B", "zai-org/GLM-4.6"),
    aliases=("siliconflow",),
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(
            path="/v1/embeddings",
            batches=((ALL, 32),),
            tokens=False,
            dimensions=("qwen/qwen3*",),
            statuses=_STATUSES,
        ),
        Operation.RERANK: Rerank(path="/v1/rerank", statuses=_STATUSES),
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(
                Messages((DEVELOPER_TO_SYSTEM, MERGE_NEIGHBOURS)),
                Drop(OPENAI_ONLY),
                Effort(THINKING_BUDGET),
            ),
            statuses=_STATUSES,
        ),
        Operation.TEXT_COMPLETION: OpenAIChat(path="/v1/completions", statuses=_STATUSES),
        Operation.SPEECH: OpenAISpeech(
            path="/v1/audio/speech",
            takes=frozenset({"gain", "sample_rate", "speed"}),
            formats=("mp3", "opus", "wav", "pcm"),
            voices=cast(high=("anna", "bella", "claire", "diana"), low=("alex", "benjamin", "charles", "david")),
            voice_of_model=True,
        ),
        Operation.TRANSCRIPTION: OpenAITranscription(path="/v1/audio/transcriptions", takes=frozenset(), streams=False),
        Operation.IMAGE_GENERATION: FlatImages(
            path="/v1/images/generations",
            sizes=(Sides(name="image_size", default="1024x1024"),),
            counts=_COUNTS,
            takes=_DRAWING | same("image", "image_size"),
            statuses=_STATUSES,
        ),
        Operation.IMAGE_EDIT: FlatImages(
            path="/v1/images/generations",
            sizes=(),  # the result is as large as what was edited
            counts=_COUNTS,
            pictures=("image", "image2", "image3"),
            takes=_DRAWING,
            statuses=_STATUSES,
        ),
    },
)
