"""Azure OpenAI, by its v1 paths: a request's model is the deployment's name.

Every resource has a host of its own, so `base_url` must be given: `https://{resource}.openai.azure.com`.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from processor.auth.credentials import HeaderKey
from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_openai import OpenAIImages
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import OwnFields, Rename
from processor.dialects.openai_chat_repairs import SoFar
from processor.dialects.openai_chat_skim import Skim
from processor.dialects.openai_relay import OpenAIRelay
from processor.dialects.speech import OpenAISpeech
from processor.dialects.transcription import OpenAITranscription
from processor.domain import Operation
from processor.vendors._vendor import Vendor
from processor.wire.json import JSON


@dataclass(frozen=True, slots=True)
class _FilterResults:
    """Chunks that tell what the content filter found: the first without a choice, later ones with a choice that has no
    delta, all without an `object`. Clients look for both without asking.
    """

    def needed(self, seen: Skim, so_far: SoFar) -> bool:
        """Whether there is no choice, in a chunk that is not the usage's, or one without a delta."""
        if not so_far.streamed or seen.choices is UNSET:
            return False
        if not seen.choices:
            return seen.usage is UNSET or bytes(seen.usage) == b"null"
        return any(choice.delta is None for choice in seen.choices)

    def apply(self, answer: JSON, so_far: SoFar) -> bool:
        """Fill in what is missing, and leave the results where they are."""
        choices = answer.get("choices")
        if not so_far.streamed or answer.get("usage") or not isinstance(choices, list):
            return False
        answer["object"] = "chat.completion.chunk"
        answer["choices"] = choices or [{"index": 0, "finish_reason": None}]
        for choice in answer["choices"]:
            if isinstance(choice, dict):
                choice.setdefault("delta", {})
        return True


_OTHER_HOUSES = ("*deepseek*", "*llama*", "*mistral*", "*grok*", "*phi-*", "*cohere*", "*kimi*", "*qwen*")
"""Models that Azure serves beside OpenAI's, if a deployment is named after its model."""

VENDOR = Vendor(
    name="azure",
    origin="",
    env=("AZURE_OPENAI_API_KEY",),
    auth=HeaderKey("api-key"),
    otel_name="azure.ai.openai",
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(path="/openai/v1/embeddings"),
        Operation.CHAT: OpenAIChat(
            path="/openai/v1/chat/completions",
            edits=(OwnFields(), Rename("max_tokens", "max_completion_tokens", unless=_OTHER_HOUSES)),
            repairs=(_FilterResults(),),
        ),
        Operation.RESPONSES: OpenAIRelay(path="/openai/v1/responses"),
        Operation.IMAGE_GENERATION: OpenAIImages(path="/openai/v1/images/generations", base64_only=("gpt-image*",)),
        Operation.IMAGE_EDIT: OpenAIImages(path="/openai/v1/images/edits", base64_only=("gpt-image*",)),
        Operation.SPEECH: OpenAISpeech(path="/openai/v1/audio/speech"),
        Operation.TRANSCRIPTION: OpenAITranscription(path="/openai/v1/audio/transcriptions"),
        Operation.TRANSLATION: OpenAITranscription(path="/openai/v1/audio/translations"),
    },
)
