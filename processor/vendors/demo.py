"""The demo vendor that comes with the gateway: what answers when nobody has a key."""

from __future__ import annotations

from processor.dialects.embeddings import OpenAIEmbeddings
from processor.dialects.images_openai import OpenAIImages
from processor.dialects.openai_chat import OpenAIChat
from processor.domain import Operation
from processor.vendors._vendor import Vendor

DEMO = Vendor(
    name="demo",
    origin="http://demo",
    operations={
        Operation.CHAT: OpenAIChat(path="/v1/chat/completions"),
        Operation.EMBEDDINGS: OpenAIEmbeddings(path="/v1/embeddings"),
        Operation.IMAGE_GENERATION: OpenAIImages(path="/v1/images/generations"),
    },
    models=("demo-chat",),
)
