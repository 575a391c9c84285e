"""What an answer is said to have cost, and what of it could not be read."""

from __future__ import annotations

import pytest

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import StreamOnly
from processor.domain import Usage, UsageSource
from processor.exchange.answers import Reader, StreamReader, Tally, WholeReader
from tests.support.asked import asked

CHAT = OpenAIChat(edits=(StreamOnly(("*",)),))
"""A vendor that answers with a stream whatever it is asked."""
BODY = (
    b'data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    b"data: {\n\n"
    b'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1}}\n\n'
    b"data: [DONE]\n\n"
)


@pytest.mark.parametrize(
    "reader", [StreamReader(CHAT.stream(asked(stream=True))), WholeReader(CHAT, asked())], ids=["streamed", "folded"]
)
def test_events_that_were_left_out_are_part_of_the_tally(reader: Reader) -> None:
    out = reader.feed(BODY) + reader.close()
    assert b"Hi" in out
    assert reader.tally(request_size=9, finished=True) == Tally(
        usage=Usage(input_tokens=2, output_tokens=1), source=UsageSource.PROVIDER, model="m-1", malformed=1
    )


def test_an_answer_that_was_never_read_is_an_estimate() -> None:
    tally = WholeReader(CHAT, asked()).tally(request_size=400, finished=False)
    assert (tally.source, tally.usage.output_tokens, tally.malformed) == (UsageSource.PARTIAL, 0, 0)
    assert tally.usage.input_tokens > 0
