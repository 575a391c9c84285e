"""Where a client's stream ends that its vendor keeps open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from processor.exchange.ledger import Ending, Ledger
from processor.exchange.messages import Abort, EndTrailers, ResponseBody, ResponseTrailers, Send
from processor.exchange.relay import RelayExchange

NOW = 100.0


def relay(ending: Ending | None, *, known: bool = True) -> RelayExchange:
    plan = SimpleNamespace(ending=ending) if known else None
    return RelayExchange("r", cast("Ledger", SimpleNamespace(get=lambda _: plan)), lambda: NOW)


@pytest.mark.parametrize("known", [True, False])
async def test_what_has_no_end_of_its_own_ends_with_the_vendor_s(*, known: bool) -> None:
    relayed = relay(None, known=known)
    assert await relayed.receive(ResponseBody(b"abc", end_of_stream=False)) == (Send(b"abc"),)
    assert (relayed.deadline, relayed.done) == (None, False)
    assert await relayed.receive(ResponseBody(b"d", end_of_stream=True)) == (Send(b"d", end_of_stream=True),)
    assert relayed.done


async def test_trailers_are_an_end_too() -> None:
    relayed = relay(None)
    assert await relayed.receive(ResponseTrailers()) == (EndTrailers(),)
    assert relayed.done


async def test_the_last_bytes_end_it_when_that_is_due() -> None:
    relayed = relay(Ending(after=4, at=NOW))
    assert await relayed.receive(ResponseBody(b"abc", end_of_stream=False)) == (Send(b"abc"),)
    assert await relayed.receive(ResponseBody(b"d", end_of_stream=False)) == (Send(b"d", end_of_stream=True),)
    assert relayed.done


@pytest.mark.parametrize("ended", [False, True])
async def test_what_breaks_off_is_broken_off_behind_its_last_bytes(*, ended: bool) -> None:
    relayed = relay(Ending(after=3, at=NOW, broken=True))
    assert await relayed.receive(ResponseBody(b"abc", end_of_stream=ended)) == (Send(b"abc"), Abort())


async def test_the_vendor_has_until_then_to_end_it() -> None:
    relayed = relay(Ending(after=3, at=NOW + 1))
    assert await relayed.receive(ResponseBody(b"abc", end_of_stream=False)) == (Send(b"abc"),)
    assert (relayed.deadline, relayed.done) == (NOW + 1, False)
    assert await relayed.expire() == (Send(b"", end_of_stream=True),)
    assert relayed.done
