"""Makes, shows, revokes and rotates gateway keys, for the command line and the admin API alike."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from processor.adapters.redis_keys import RedisKeys
from processor.config import KeyConfig
from processor.errors import ClientError, MalformedRequest
from processor.wire.json import JSON

_SHOWN = 8
"""Digits of a hash."""
_GRACE = 24 * 3600.0
_HIDDEN = frozenset({"name", "sha256"})


class KeyDesk:
    """What is shown of a key never holds the key, except once, when it is made."""

    def __init__(self, configured: Sequence[KeyConfig], made: RedisKeys | None, epoch: Callable[[], float]) -> None:
        self._configured = configured
        self._made = made
        self._epoch = epoch

    async def create(self, wanted: Mapping[str, Any]) -> JSON:
        """Make a key: `{"key": "sk-gw-…", "name": …, …}`. `wanted` are a key's fields as `gateway.yaml` has them.

        Raises:
            ClientError: they are not a key's, the name is taken, or no Redis is configured.
            StoreError: Redis cannot be asked. So do the others.
        """
        made = self._store()
        secret, sha256 = new_secret()
        key = _read({**wanted, "sha256": sha256})
        if any(other.name == key.name for other in (*self._configured, *await made.all())):
            raise ClientError(f"There is a key named `{key.name}` already.", param="name", status=409)
        await made.put(key)
        return {"key": secret, **shown(key, "redis")}

    async def all(self) -> list[JSON]:
        """Every key, by name."""
        made = await self._made.all() if self._made else []
        keys = [shown(key, "yaml") for key in self._configured] + [shown(key, "redis") for key in made]
        return sorted(keys, key=lambda key: (key["name"], key.get("expires") or 0))

    async def revoke(self, name: str) -> JSON:
        """End a key, and those that were rotated into it, within a second."""
        made = self._store()
        keys = [key for key in await made.all() if key.name == name]
        self._require(keys, name)
        await made.remove(keys)
        return {"revoked": name}

    async def rotate(self, name: str, grace: float = _GRACE) -> JSON:
        """Make a new key for a name; the old one works for `grace` seconds more."""
        made = self._store()
        secret, sha256 = new_secret()
        key = await made.rotate(name, sha256, old_until=self._epoch() + grace)
        self._require([key] if key else [], name)
        await made.sweep(self._epoch())
        assert key is not None  # noqa: S101 - required above
        return {"key": secret, **shown(key, "redis")}

    def _store(self) -> RedisKeys:
        if self._made is None:
            raise ClientError("Keys are made at run time only with `redis` in gateway.yaml.", code="no_store")
        return self._made

    def _require(self, keys: Iterable[KeyConfig], name: str) -> None:
        if any(keys):
            return
        configured = any(key.name == name for key in self._configured)
        where = "; it stands in gateway.yaml, and is changed there" if configured else ""
        raise ClientError(f"There is no key named `{name}` in Redis{where}.", param="name", status=404)


def new_secret() -> tuple[str, str]:
    """A key that nobody can guess, and its SHA-256."""
    secret = f"sk-gw-{secrets.token_urlsafe(32)}"
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def shown(key: KeyConfig, source: str) -> JSON:
    """A key for people: its fields that say something, and how its hash begins."""
    fields = {name: value for name, value in msgspec.to_builtins(key).items() if value and name not in _HIDDEN}
    said = {name: _said(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return {"name": key.name, "source": source, "sha256": key.sha256[:_SHOWN], **{n: v for n, v in said.items() if v}}


def _said(fields: Mapping[str, Any]) -> JSON:
    """Limits and budgets without those that are not set; how a budget of nothing is enforced says nothing."""
    said = {name: value for name, value in fields.items() if value is not None}
    return {} if set(said) == {"on_budget"} else said


def _read(fields: Mapping[str, Any]) -> KeyConfig:
    if not isinstance(fields.get("name"), str) or not fields["name"].strip() or not fields["name"].isprintable():
        raise MalformedRequest("A key needs a name of printable characters.", param="name")
    try:
        return msgspec.convert(fields, KeyConfig)
    except msgspec.ValidationError as error:
        raise MalformedRequest(f"These are not a key's fields: {error}.") from None
