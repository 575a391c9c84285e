"""What a vendor's own path asks for: method and path to operation, and the model where the path names it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from processor.domain import Operation

_POST: tuple[tuple[str, Operation], ...] = (
    (r"/chat/completions$", Operation.CHAT),
    (r"/text/chatcompletion(_v2|_pro)?$", Operation.CHAT),  # MiniMax
    (r"/services/aigc/(text|multimodal)-generation/generation$", Operation.CHAT),  # DashScope
    (r"/apps/[^/]+/completion$", Operation.CHAT),  # DashScope's agents
    (r"/rpc/2\.0/.*/chat/[^/]+$", Operation.CHAT),  # Baidu's first version
    (r"/api/chat$", Operation.CHAT),  # Ollama
    (r"/converse(-stream)?$", Operation.CHAT),  # Bedrock
    (r"/api/generate$", Operation.TEXT_COMPLETION),  # Ollama
    (r"/completions$", Operation.TEXT_COMPLETION),
    (r"/messages$", Operation.MESSAGES),
    (r":(streamRawPredict|rawPredict)$", Operation.MESSAGES),  # Anthropic's models on Vertex
    (r"/responses$", Operation.RESPONSES),
    (r":(streamGenerateContent|generateContent)$", Operation.GENERATE_CONTENT),
    (r":(embedContent|batchEmbedContents)$", Operation.EMBEDDINGS),
    (r"/embeddings(/multimodal)?$", Operation.EMBEDDINGS),
    (r"/services/embeddings/", Operation.EMBEDDINGS),  # DashScope
    (r"/model/[^/]*embed[^/]*/invoke$", Operation.EMBEDDINGS),  # Bedrock
    (r"/api/embed$", Operation.EMBEDDINGS),  # Ollama
    (r"/reranks?$|/services/rerank/", Operation.RERANK),
    (r"/images/edits$|/services/aigc/image2image/", Operation.IMAGE_EDIT),
    (r"/images/(generations|variations)$|/image_generation$|:predict$", Operation.IMAGE_GENERATION),
    (r"/services/aigc/(text2image|image-generation)/", Operation.IMAGE_GENERATION),
    (r"/api/image/(lite|submit)$", Operation.IMAGE_GENERATION),  # Tencent TokenHub
    (r"/audio/speech$|/t2a_v2$|/api/v1/tts$|/api/v3/tts/|/SpeechSynthesizer$", Operation.SPEECH),
    (r"/audio/transcriptions$|/speech_to_text$|/recognize/flash$", Operation.TRANSCRIPTION),
    (r"/audio/translations$", Operation.TRANSLATION),
    (r"/moderations$", Operation.MODERATIONS),
)
_PATTERNS = tuple((re.compile(pattern), operation) for pattern, operation in _POST)
_MODELS = re.compile(r"/models(/[^:]+)?$")
_MODEL_IN_PATH = re.compile(r"/models/(?P<name>[^/:]+)[:/]|/model/(?P<id>[^/]+)/")
"""Gemini's and Vertex's, and Bedrock's, whose ids hold colons."""


def operation_of(method: str, path: str) -> Operation:
    """The operation of a request to a vendor's path (no query); OTHER for what neither generates nor lists models."""
    if method == "POST":
        return next((operation for pattern, operation in _PATTERNS if pattern.search(path)), Operation.OTHER)
    return Operation.MODELS if method == "GET" and _MODELS.search(path) else Operation.OTHER


def model_of(path: str) -> str:
    """The model a path names, as Gemini's, Vertex's and Bedrock's do; empty where it names none."""
    match = _MODEL_IN_PATH.search(path)
    return unquote(match["name"] or match["id"]) if match else ""
