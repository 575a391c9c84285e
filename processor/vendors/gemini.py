"""Google Gemini. An API of its own for everything; the model stands in the path."""

from __future__ import annotations

from processor.auth.credentials import X_GOOG_API_KEY
from processor.dialects.gemini_chat import GeminiChat
from processor.dialects.gemini_embeddings import GeminiEmbeddings
from processor.dialects.gemini_images import GeminiImages
from processor.domain import Operation
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="gemini",
    origin="https://generativelanguage.googleapis.com",
    env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    auth=X_GOOG_API_KEY,
    otel_name="gcp.gemini",
    models=(
        "gemini-3-pro-preview",
        "gemini-3-flash-preview",
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "gemini-2.5-flash-lite",
    ),
    operations={
        Operation.CHAT: GeminiChat(),
        Operation.EMBEDDINGS: GeminiEmbeddings(),
        Operation.IMAGE_GENERATION: GeminiImages(),
    },
)
