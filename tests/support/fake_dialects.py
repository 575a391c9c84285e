"""Every dialect's fake behind one address: `vendor.default = every_dialect`, and a request's path says whose it is.

Each really reads its own protocol, knows nothing of how the gateway translates, and fails the test for what the real
vendor would refuse: fields it does not have, turns out of order, results of calls that nobody made.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support import fake_dialects_embeddings as embedders
from tests.support.fake_dialects_anthropic import anthropic
from tests.support.fake_dialects_bedrock import bedrock
from tests.support.fake_dialects_dashscope import dashscope
from tests.support.fake_dialects_gemini import gemini
from tests.support.fake_dialects_openai import AZURE, DEEPSEEK, MINIMAX, OPENAI
from tests.support.fake_dialects_responses import responses
from tests.support.fake_dialects_sound import minimax_speech, moderation, speech, transcription
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply

Speaker = Callable[[Received], Reply]

_PATHS: dict[str, Speaker] = {
    "/v1/messages": anthropic,
    "/v1beta/models/.*:(generateContent|streamGenerateContent)": gemini,
    "/model/.*/(converse|converse-stream)": bedrock,
    "/api/v1/services/aigc/(text|multimodal)-generation/generation": dashscope,
    "/v1/text/chatcompletion_v2": MINIMAX,
    "/openai/v1/chat/completions": AZURE,
    "/v1/chat/completions": OPENAI,
    "/chat/completions": DEEPSEEK,
    "(/compatible-mode)?/v1/responses": responses,
    "/v1/embeddings": embedders.embeddings,
    "/compatible-mode/v1/embeddings": embedders.ALI,
    "/v1beta/models/.*:batchEmbedContents": embedders.gemini,
    "/model/amazon.titan-.*/invoke": embedders.titan,
    "/v1/audio/speech": speech,
    "/v1/t2a_v2": minimax_speech,
    "(/openai)?/v1/audio/(transcriptions|translations)": transcription,
    "/v1/moderations": moderation,
}
"""By the whole path; `fake_dialects_images` has the painters, who need a memory."""


def every_dialect(request: Received) -> Reply:
    """The reply of whoever has such a path."""
    for path, speaker in _PATHS.items():
        if re.fullmatch(path, request.path):
            assert request.method == "POST", request.method
            return speaker(request)
    raise AssertionError(f"nobody has a path {request.path}")
