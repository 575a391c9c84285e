from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.estimate import estimate_text, estimate_tokens

_words = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4_000_001, 1_000_001)])
def test_a_part_of_a_token_is_one(size: int, tokens: int) -> None:
    assert estimate_tokens(size) == tokens


def test_no_text_is_no_token() -> None:
    assert estimate_text("") == 0


@given(text=_words.filter(bool))
def test_any_text_is_a_token_at_least(text: str) -> None:
    assert estimate_text(text) >= 1


@given(text=_words, more=_words)
def test_the_parts_come_to_the_whole_and_one_token_at_most(text: str, more: str) -> None:
    assert 0 <= estimate_text(text) + estimate_text(more) - estimate_text(text + more) <= 1


@given(size=st.integers(min_value=0, max_value=1 << 40), more=st.integers(min_value=0, max_value=1 << 20))
def test_more_text_is_never_fewer_tokens(size: int, more: int) -> None:
    assert estimate_tokens(size + more) >= estimate_tokens(size)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The quick brown fox jumps over the lazy dog, and nobody seems to mind it very much at all.", 21),
        ("人工智能网关把请求发送给模型供应商，并且记录每一次调用所用的词元数量。", 24),
    ],
)
def test_an_estimate_is_within_a_third_of_what_tokenizers_come_to(text: str, tokens: int) -> None:
    """A token for each word and mark of the English text, three for four characters of the Chinese one."""
    assert tokens * 2 / 3 <= estimate_text(text) <= tokens * 4 / 3


def test_estimates_are_near_what_tokenisers_count() -> None:
    assert 9 <= estimate_text("The quick brown fox jumps over the lazy dog.") <= 13
    assert 4 <= estimate_text("今天天气很好") <= 7
