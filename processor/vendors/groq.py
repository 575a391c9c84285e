"""Groq. OpenAI's dialect below /openai/v1, less parameters that are a 400 there (console.groq.com/docs/openai)."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop, OwnFields, Set
from processor.dialects.openai_chat_repairs import ReasoningContent
from processor.dialects.openai_relay import OpenAIRelay
from processor.dialects.transcription import OpenAITranscription
from processor.domain import Operation
from processor.vendors._parameters import LOGPROBS, OPENAI_ONLY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="groq",
    origin="https://api.groq.com",
    env=("GROQ_API_KEY",),
    models=("openai/gpt-oss-120b", "llama-3.3-70b-versatile"),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/openai/v1/chat/completions",
            edits=(
                OwnFields(),
                Drop((OPENAI_ONLY - {"service_tier"}) | LOGPROBS | {"logit_bias", "n"}),
                # Otherwise what Qwen's models think stands inside the content.
                Set("reasoning_format", "parsed", models=("qwen*",)),
            ),
            repairs=(ReasoningContent(),),
        ),
        Operation.RESPONSES: OpenAIRelay(path="/openai/v1/responses"),
        Operation.TRANSCRIPTION: OpenAITranscription(path="/openai/v1/audio/transcriptions", streams=False),
        Operation.TRANSLATION: OpenAITranscription(path="/openai/v1/audio/translations", streams=False),
    },
)
