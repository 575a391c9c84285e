"""MiniMax, in its OpenAI-compatible mode, or natively as the dialect `minimax-native`.

A status of 200 is not success: `base_resp.status_code` says.
"""

from __future__ import annotations

from processor.dialects.embeddings_native import NativeEmbeddings, minimax_body, minimax_read
from processor.dialects.image_sizes import RatioOrSides
from processor.dialects.images_flat import FlatImages, same
from processor.dialects.images_minimax import minimax_pictures
from processor.dialects.images_request import Counts
from processor.dialects.minimax_speech import MiniMaxSpeech
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Clamp, Drop, Effort, Rename, SchemaToObject, Set, ToolChoice
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.dialects.openai_chat_repairs import MessageAtEnd, ReasoningContent, ToolCalls
from processor.dialects.openai_chat_rules import CodeInside
from processor.dialects.speech import cast
from processor.domain import Feature, Operation
from processor.vendors._parameters import OPENAI_ONLY, PENALTIES, THINKING_ADAPTIVE
from processor.vendors._vendor import Vendor

_STATUSES = {
    1000: 500,  # unknown
    1001: 504,  # timeout
    1002: 429,  # requests a minute
    1004: 401,  # authentication
    1008: 402,  # balance
    1013: 500,  # internal
    1024: 500,  # internal
    1026: 400,  # sensitive input
    1027: 400,  # sensitive output
    1028: 429,  # the plan's limit
    1030: 429,  # the plan's limit
    1033: 500,  # upstream of theirs
    1039: 429,  # tokens a minute
    1041: 429,  # connections
    1042: 400,  # invisible characters
    2013: 400,  # parameters
    2049: 401,  # key
    2056: 429,  # the plan's limit
    2061: 403,  # not in the plan
}

_MAY_THINK = ("minimax-m3*",)
"""Models that can be told whether to; the others always do, or never."""

_EDITS = (
    Messages((DEVELOPER_TO_SYSTEM,)),
    SchemaToObject(unless=("minimax-text-*",), objects=False),
    Drop(OPENAI_ONLY | PENALTIES | {"logit_bias", "n"}),
    Rename("max_tokens", "max_completion_tokens"),
    Clamp("temperature", 0.01, 1.0),
    Clamp("top_p", 0.01, 1.0),
    ToolChoice(("none", "auto")),
    Drop(frozenset({"reasoning_effort"}), unless=_MAY_THINK),
    Effort(THINKING_ADAPTIVE),
)
_CHECK = CodeInside(("base_resp", "status_code"), "status_msg", _STATUSES)

VENDOR = Vendor(
    name="minimax",
    origin="https://api.minimaxi.com",
    env=("MINIMAX_API_KEY",),
    models=("MiniMax-M3", "MiniMax-M2.7", "MiniMax-M2", "MiniMax-M1"),
    lacks=frozenset({Feature.VISION}),
    operations={
        Operation.EMBEDDINGS: NativeEmbeddings(
            path="/v1/embeddings", body=minimax_body, read=minimax_read, takes=("type",), check=_CHECK
        ),
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(
                *_EDITS,
                # Otherwise the thinking stands inside the content, between <think> tags.
                Set("reasoning_split", value=True),
            ),
            repairs=(MessageAtEnd(), ReasoningContent()),
            check=_CHECK,
        ),
        Operation.SPEECH: MiniMaxSpeech(
            check=_CHECK,
            voices=cast(
                high=("Wise_Woman", "Calm_Woman", "Lively_Girl", "Inspirational_girl"),
                low=("Deep_Voice_Man", "Patient_Man", "Casual_Guy", "Elegant_Man"),
            ),
        ),
        Operation.IMAGE_GENERATION: FlatImages(
            path="/v1/image_generation",
            sizes=(RatioOrSides(),),
            counts=Counts(most=(("*", 9),)),
            forms={"url": "url", "b64_json": "base64"},
            takes=same("aigc_watermark", "aspect_ratio", "prompt_optimizer", "seed", "style", "subject_reference"),
            read=minimax_pictures,
            check=_CHECK,
        ),
    },
    dialects={
        "minimax-native": {
            # So near OpenAI's that the same edits do; thinking is split off unasked.
            Operation.CHAT: OpenAIChat(
                path="/v1/text/chatcompletion_v2",
                edits=_EDITS,
                repairs=(MessageAtEnd(), ToolCalls(), ReasoningContent()),
                check=_CHECK,
            ),
        },
    },
)
