from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.operations import model_of, operation_of
from processor.domain import Operation
from tests.support.golden import GoldenCase, golden_cases


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", Operation.CHAT),
        ("/openai/deployments/d/chat/completions", Operation.CHAT),
        ("/api/v3/bots/chat/completions", Operation.CHAT),
        ("/compatible-mode/v1/chat/completions", Operation.CHAT),
        ("/v1/text/chatcompletion_v2", Operation.CHAT),
        ("/api/v1/services/aigc/text-generation/generation", Operation.CHAT),
        ("/api/v1/services/aigc/multimodal-generation/generation", Operation.CHAT),
        ("/api/v1/apps/abc/completion", Operation.CHAT),
        ("/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant", Operation.CHAT),
        ("/api/chat", Operation.CHAT),
        ("/model/anthropic.claude-v2/converse", Operation.CHAT),
        ("/model/anthropic.claude-v2/converse-stream", Operation.CHAT),
        ("/v1/completions", Operation.TEXT_COMPLETION),
        ("/beta/completions", Operation.TEXT_COMPLETION),
        ("/api/generate", Operation.TEXT_COMPLETION),
        ("/v1/messages", Operation.MESSAGES),
        ("/anthropic/v1/messages", Operation.MESSAGES),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict", Operation.MESSAGES),
        ("/v1/responses", Operation.RESPONSES),
        ("/v1beta/models/gemini-2.5-flash:generateContent", Operation.GENERATE_CONTENT),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", Operation.GENERATE_CONTENT),
        ("/v1beta/models/e:batchEmbedContents", Operation.EMBEDDINGS),
        ("/v1/embeddings", Operation.EMBEDDINGS),
        ("/api/v3/embeddings/multimodal", Operation.EMBEDDINGS),
        ("/api/v1/services/embeddings/text-embedding/text-embedding", Operation.EMBEDDINGS),
        ("/api/embed", Operation.EMBEDDINGS),
        ("/v1/rerank", Operation.RERANK),
        ("/compatible-api/v1/reranks", Operation.RERANK),
        ("/api/v1/services/rerank/text-rerank/text-rerank", Operation.RERANK),
        ("/v1/images/generations", Operation.IMAGE_GENERATION),
        ("/v1/image_generation", Operation.IMAGE_GENERATION),
        ("/v1/audio/speech", Operation.SPEECH),
        ("/v1/t2a_v2", Operation.SPEECH),
        ("/v1/audio/transcriptions", Operation.TRANSCRIPTION),
        ("/v1/messages/count_tokens", Operation.OTHER),
        ("/v1beta/models/g:countTokens", Operation.OTHER),
        ("/v1/responses/resp_1/cancel", Operation.OTHER),
        ("/v1/files", Operation.OTHER),
        ("/", Operation.OTHER),
    ],
)
def test_a_post_is_what_its_path_says(path: str, operation: Operation) -> None:
    assert operation_of("POST", path) is operation


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/models", Operation.MODELS),
        ("/v1/models/gpt-4o", Operation.MODELS),
        ("/v1/chat/completions", Operation.OTHER),
        ("/v1/responses/resp_1", Operation.OTHER),
        ("/api/v1/tasks/7", Operation.OTHER),
    ],
)
def test_a_get_lists_models_or_nothing(path: str, operation: Operation) -> None:
    assert operation_of("GET", path) is operation
    assert operation_of("DELETE", path) is Operation.OTHER


@pytest.mark.parametrize("case", golden_cases(), ids=str)
def test_passthrough_knows_the_paths_that_the_translators_use(case: GoldenCase) -> None:
    assert operation_of("POST", case.upstream.path.partition("?")[0]) is not Operation.OTHER


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
        ("/model/anthropic.claude-v2:0/converse", "anthropic.claude-v2:0"),
        ("/model/anthropic.claude-v2%3A0/converse-stream", "anthropic.claude-v2:0"),
        ("/v1/projects/p/publishers/google/models/g-1:predict", "g-1"),
        ("/v1/chat/completions", ""),
        ("/v1/models", ""),
        ("", ""),
    ],
)
def test_a_model_may_stand_in_the_path(path: str, model: str) -> None:
    assert model_of(path) == model


@given(method=st.sampled_from(["GET", "POST", "PUT", ""]), path=st.text(max_size=40))
def test_any_path_will_do(method: str, path: str) -> None:
    assert isinstance(operation_of(method, path), Operation)
    assert isinstance(model_of(path), str)
