"""Whose key a request carries."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.config import KeyConfig
from processor.errors import Unauthenticated
from processor.exchange.access import Keyring, presented_key

NOW = 1_790_000_000.0


def key(name: str, secret: str, expires: float | None = None) -> KeyConfig:
    return KeyConfig(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), expires=expires)


class Source:
    """Knows one key, and counts how often it is asked."""

    def __init__(self, known: KeyConfig) -> None:
        self.known = known
        self.asked = 0

    async def find(self, sha256: str) -> KeyConfig | None:
        self.asked += 1
        return self.known if sha256 == self.known.sha256 else None


async def test_a_key_that_has_expired_opens_nothing() -> None:
    keyring = Keyring([key("over", "a", NOW - 1), key("good", "b", NOW + 1)], lambda: NOW)
    assert (await keyring.authenticate({"x-api-key": "b"})).name == "good"
    with pytest.raises(Unauthenticated, match="expired"):
        await keyring.authenticate({"x-api-key": "a"})


async def test_only_about_unknown_keys_is_anybody_asked() -> None:
    keyring, source = Keyring([key("a", "a")], lambda: NOW), Source(key("new", "n"))
    keyring.source = source
    await keyring.authenticate({"x-api-key": "a"})
    assert source.asked == 0
    assert (await keyring.authenticate({"x-api-key": "n"})).name == "new"
    with pytest.raises(Unauthenticated, match="not known"):
        await keyring.authenticate({"x-api-key": "z"})


async def test_keys_that_are_made_go_beside_the_configured_ones_and_go_away_again() -> None:
    keyring = Keyring([key("a", "a")], lambda: NOW)
    keyring.replace([key("b", "b"), key("c", "old", NOW + 5), key("c", "new")])
    assert {one.name for one in keyring} == {"a", "b", "c"}
    newest = keyring.named("c")
    assert newest is not None
    assert newest.expires is None
    keyring.replace([])
    with pytest.raises(Unauthenticated):
        await keyring.authenticate({"x-api-key": "b"})


@given(st.dictionaries(st.sampled_from(["authorization", "x-api-key", ":path", "sec-websocket-protocol"]), st.text()))
def test_whatever_is_sent_is_a_key_or_none(headers: dict[str, str]) -> None:
    assert isinstance(presented_key(headers), str)
