"""01.AI."""

from __future__ import annotations

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import Drop
from processor.dialects.openai_chat_messages import DEVELOPER_TO_SYSTEM, Messages
from processor.domain import Feature, Operation
from processor.vendors._parameters import OPENAI_ONLY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="lingyi",
    origin="https://api.lingyiwanwu.com",
    env=("LINGYI_API_KEY", "YI_API_KEY"),
    models=("yi-lightning", "yi-vision-v2"),
    lacks=frozenset({Feature.STRUCTURED, Feature.REASONING}),
    operations={
        Operation.CHAT: OpenAIChat(
            path="/v1/chat/completions",
            edits=(Messages((DEVELOPER_TO_SYSTEM,)), Drop(OPENAI_ONLY)),
        ),
    },
)
