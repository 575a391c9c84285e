"""Makes, shows, revokes and rotates gateway keys, for the command line and the admin API alike."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec.structs import replace

from processor.adapters.redis_keys import Change, RedisKeys
from processor.config import KeyConfig, filled
from processor.errors import ClientError, ConfigError, MalformedRequest
from processor.exchange.access import ends, newest
from processor.wire.json import JSON

S = TypeVar("S", bound=msgspec.Struct)

_SHOWN = 8
"""Digits of a hash."""
_HIDDEN = frozenset({"name", "sha256"})


class _Rotation(msgspec.Struct, frozen=True):
    """What may be said of one."""

    grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=366 * 86_400)] = 24 * 3600.0
    """For which the old key works beside the new one."""


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
        store = self._store()
        secret, key = self._drawn(wanted)

        def decide(made: Sequence[KeyConfig]) -> Change:
            self._require_free(key.name, made)
            return Change(put=(key,))

        await store.change(decide)
        return {"key": secret, **shown(key, "redis")}

    def draft(self, wanted: Mapping[str, Any]) -> tuple[str, JSON]:
        """A key that is kept nowhere, and the entry of `gateway.yaml` that makes it known.

        Raises:
            ClientError: the fields are not a key's, or the name is taken.
        """
        secret, key = self._drawn(wanted)
        self._require_free(key.name, ())
        return secret, {"name": key.name, "sha256": key.sha256, **_fields(key)}

    async def all(self) -> list[JSON]:
        """Every key, by name."""
        made = await self._made.all() if self._made else []
        keys = [shown(key, "yaml") for key in self._configured] + [shown(key, "redis") for key in made]
        return sorted(keys, key=lambda key: (key["name"], key.get("expires", "")))

    async def revoke(self, name: str) -> JSON:
        """End a key, and those that were rotated into it, within a second."""
        await self._store().change(lambda made: Change(remove=self._named(name, made)))
        return {"revoked": name}

    async def rotate(self, name: str, wanted: Mapping[str, Any]) -> JSON:
        """Make a new key for a name; the old one works for `grace_seconds` more."""
        store = self._store()
        now, grace = self._epoch(), _read(_Rotation, wanted).grace_seconds
        secret, sha256 = _new_secret()

        def decide(made: Sequence[KeyConfig]) -> Change:
            old = self._named(name, made)
            key = newest(old)
            if ends(key) <= now:
                raise ClientError(f"The key `{name}` has expired: revoke it, and make another.", status=409)
            ending = (replace(one, expires=min(now + grace, ends(one))) for one in old)
            expired = tuple(one for one in made if ends(one) <= now)
            return Change(put=(replace(key, sha256=sha256), *ending), remove=expired)

        change = await store.change(decide)
        return {"key": secret, **shown(change.put[0], "redis")}

    def _store(self) -> RedisKeys:
        if self._made is None:
            raise ClientError("Keys are made at run time only with `redis` in gateway.yaml.", code="no_store")
        return self._made

    def _drawn(self, wanted: Mapping[str, Any]) -> tuple[str, KeyConfig]:
        """A new key with these fields."""
        secret, sha256 = _new_secret()
        key = _read(KeyConfig, wanted, sha256=sha256)
        if ends(key) <= self._epoch():
            raise MalformedRequest(f"expires: {_date(ends(key))} is past", param="expires")
        return secret, key

    def _require_free(self, name: str, made: Iterable[KeyConfig]) -> None:
        if any(other.name == name for other in (*self._configured, *made)):
            raise ClientError(f"There is a key named `{name}` already.", param="name", status=409)

    def _named(self, name: str, made: Iterable[KeyConfig]) -> tuple[KeyConfig, ...]:
        """All keys of a name, one at least."""
        if found := tuple(key for key in made if key.name == name):
            return found
        configured = any(key.name == name for key in self._configured)
        where = "; it stands in gateway.yaml, and is changed there" if configured else ""
        raise ClientError(f"There is no key named `{name}` in Redis{where}.", param="name", status=404)


def shown(key: KeyConfig, source: str) -> JSON:
    """A key for people: its fields that say something, and how its hash begins."""
    return {"name": key.name, "source": source, "sha256": key.sha256[:_SHOWN], **_fields(key)}


def _new_secret() -> tuple[str, str]:
    """A key that nobody can guess, and its SHA-256."""
    secret = f"sk-gw-{secrets.token_urlsafe(32)}"
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def _read(kind: type[S], wanted: Mapping[str, Any], **given: object) -> S:
    """What somebody asks for, checked as `gateway.yaml` is."""
    try:
        return filled(kind, wanted, **given)
    except ConfigError as error:
        where = f"{error.path}: " if error.path else ""
        raise MalformedRequest(where + error.message, param=error.path or None) from None


def _fields(key: KeyConfig) -> JSON:
    """What is said of a key beside its name and hash, as `gateway.yaml` has it."""
    fields = {name: value for name, value in msgspec.to_builtins(key).items() if value and name not in _HIDDEN}
    if key.expires is not None:
        fields["expires"] = _date(key.expires)
    said = {name: _said(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return {name: value for name, value in said.items() if value}


def _said(fields: Mapping[str, Any]) -> JSON:
    """Limits and budgets without those that are not set; how a budget of nothing is enforced says nothing."""
    said = {name: value for name, value in fields.items() if value is not None}
    return {} if set(said) == {"on_budget"} else said


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
