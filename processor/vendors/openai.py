"""OpenAI: the dialect itself."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_openai import OpenAIImages
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import OwnFields, Rename
from processor.dialects.openai_relay import OpenAIRelay
from processor.dialects.speech import OpenAISpeech
from processor.dialects.transcription import OpenAITranscription
from processor.domain import Feature, Operation
from processor.vendors._vendor import Vendor

_BASE64_ONLY = ("gpt-image*", "chatgpt-image*")

VENDOR = Vendor(
    name="openai",
    origin="https://api.openai.com",
    env=("OPENAI_API_KEY",),
    models=("gpt-5.2", "gpt-5-mini", "gpt-4.1", "gpt-4o-mini"),
    lacks=frozenset({Feature.REASONING}),
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(path="/v1/embeddings"),
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(OwnFields(), Rename("max_tokens", "max_completion_tokens")),
        ),
        Operation.TEXT_COMPLETION: OpenAIChat(path="/v1/completions"),
        Operation.RESPONSES: OpenAIRelay(path="/v1/responses"),
        Operation.MODERATIONS: OpenAIRelay(path="/v1/moderations"),
        Operation.SPEECH: OpenAISpeech(path="/v1/audio/speech"),
        Operation.TRANSCRIPTION: OpenAITranscription(path="/v1/audio/transcriptions"),
        Operation.TRANSLATION: OpenAITranscription(path="/v1/audio/translations"),
        Operation.IMAGE_GENERATION: OpenAIImages(path="/v1/images/generations", base64_only=_BASE64_ONLY),
        Operation.IMAGE_EDIT: OpenAIImages(path="/v1/images/edits", base64_only=_BASE64_ONLY),
    },
)
