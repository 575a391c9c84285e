"""A self-hosted server that speaks OpenAI's dialect: vLLM, SGLang, Ollama, llama.cpp."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_repairs import FinishReasons, ReasoningContent, ToolCalls
from processor.domain import Operation
from processor.vendors._vendor import Vendor

_CHAT = OpenAIChat(
    path="/chat/completions",  # below the base URL an SDK would be given, which ends in /v1 as a rule
    repairs=(ReasoningContent(), ToolCalls(), FinishReasons({"abort": "stop", "": None})),
)


def self_hosted(name: str) -> Vendor:
    """The vendor a configured base URL stands for."""
    return Vendor(name=name, origin="", operations={Operation.CHAT: _CHAT})
