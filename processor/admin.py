"""What may be asked about a worker, and changed: `/explain`, `/keys`, `/limits`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from processor.adapters.admin_http import Answer
from processor.adapters.key_desk import KeyDesk
from processor.errors import ClientError, LimitsUnavailable, MalformedRequest
from processor.exchange.explaining import Explainer, Inquiry, told
from processor.ports import StoreError
from processor.wire.json import JSON, JSONError, decode
from processor.worker import Worker

_PATIENCE = 5.0
"""Seconds that an operator waits for Redis."""
_NAME = "{name:[^/]+}"
"""Of a key, which braces may stand in as well."""


def routes(worker: Worker) -> Mapping[tuple[str, str], Answer]:
    """By method and path."""
    shared = worker.shared
    desk = KeyDesk(worker.config.keys, shared.keys if shared else None, time.time)

    async def why(_: Mapping[str, str], body: bytes) -> object:
        return await _asked(explain(worker, body))

    async def keys(_: Mapping[str, str], __: bytes) -> object:
        return await _asked(desk.all())

    async def create(_: Mapping[str, str], body: bytes) -> object:
        return await _asked(desk.create(_object(body)))

    async def revoke(parameters: Mapping[str, str], _: bytes) -> object:
        return await _asked(desk.revoke(parameters["name"]))

    async def rotate(parameters: Mapping[str, str], body: bytes) -> object:
        return await _asked(desk.rotate(parameters["name"], _object(body) if body else {}))

    async def standing(parameters: Mapping[str, str], _: bytes) -> object:
        return await _asked(limits(worker, parameters.get("key", "")))

    return {
        ("POST", "/explain"): why,
        ("GET", "/keys"): keys,
        ("POST", "/keys"): create,
        ("DELETE", f"/keys/{_NAME}"): revoke,
        ("POST", f"/keys/{_NAME}/rotate"): rotate,
        ("GET", "/limits"): standing,
    }


async def explain(worker: Worker, inquiry: bytes) -> JSON:
    """Who would answer a request, and why.

    Raises:
        ClientError: what a client would be told at once.
    """
    explainer = Explainer(
        topology=worker.topology, keyring=worker.keyring, chooser=worker.chooser, limiter=worker.limiter
    )
    return await explainer.explain(Inquiry.read(inquiry))


async def limits(worker: Worker, name: str) -> JSON:
    """How the limits of one key, or of all, stand; and whether they are counted where they should be.

    Raises:
        ClientError: there is no key of that name.
    """
    shared = worker.shared
    if shared:
        await shared.watch.refresh()
    keys = [key for key in worker.keyring if name in ("", key.name)]
    if name and not keys:
        raise ClientError(f"There is no key named `{name}`.", param="key", status=404)
    found = dict.fromkeys(limit for key in keys for limit in worker.limiter.keys.of(key))
    found |= dict.fromkeys(limit for model in worker.topology.models.values() for limit in model.limits)
    standings = await worker.limiter.store.peek(tuple(found))
    return {
        "degraded": bool(shared and shared.limits.degraded),
        "fallbacks": shared.limits.fallbacks if shared else 0,
        "limits": [told(standing) for standing in standings],
    }


async def _asked(question: Coroutine[Any, Any, object]) -> object:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await question
    except (StoreError, TimeoutError):
        raise LimitsUnavailable("Redis does not answer.", code="store_unavailable") from None


def _object(body: bytes) -> JSON:
    try:
        said = decode(body)
    except JSONError as error:
        raise MalformedRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(said, dict):
        raise MalformedRequest("The body is not a JSON object.", code="invalid_json")
    return said
