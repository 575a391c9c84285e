"""A self-hosted server that speaks OpenAI's dialect: vLLM, SGLang, Ollama, llama.cpp."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_openai import OpenAIImages
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_repairs import FinishReasons, ReasoningContent, ToolCalls
from processor.dialects.rerank import Rerank
from processor.dialects.speech import OpenAISpeech
from processor.dialects.transcription import OpenAITranscription
from processor.domain import Operation
from processor.vendors._vendor import Vendor

_CHAT = OpenAIChat(
    path="/chat/completions",  # below the base URL an SDK would be given, which ends in /v1 as a rule
    repairs=(ReasoningContent(), ToolCalls(), FinishReasons({"abort": "stop", "": None})),
)


SELF_HOSTED = Vendor(
    name="self_hosted",
    origin="",
    operations={
        Operation.EMBEDDINGS: OpenAIEmbeddings(path="/embeddings"),
        Operation.RERANK: Rerank(path="/rerank"),
        Operation.CHAT: _CHAT,
        Operation.TEXT_COMPLETION: OpenAIChat(
            path="/completions", repairs=(FinishReasons({"abort": "stop", "": None}),)
        ),
        Operation.SPEECH: OpenAISpeech(path="/audio/speech"),
        Operation.TRANSCRIPTION: OpenAITranscription(path="/audio/transcriptions"),
        Operation.TRANSLATION: OpenAITranscription(path="/audio/translations"),
        Operation.IMAGE_GENERATION: OpenAIImages(path="/images/generations"),
        Operation.IMAGE_EDIT: OpenAIImages(path="/images/edits"),
    },
)
