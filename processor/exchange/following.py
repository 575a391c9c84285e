"""The further calls an answer takes: sent through Envoy to the same provider, with the same key."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from processor import names
from processor.auth.credentials import Outgoing
from processor.dialects.base import Fetch, Pending, UpstreamRequest
from processor.dialects.vendor_errors import refusal
from processor.errors import UpstreamProtocolError, UpstreamUnavailable
from processor.ports import Call, Caller, CallError
from processor.topology import Provider

_AT_ONCE = 8
"""Calls of one request under way together: a large batch must not take every connection."""
_LONGEST = 900.0
"""Seconds for all of them: as long as a plan is kept."""
_ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of one answer: an image of the largest size in base64, with room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Makes the calls of one attempt."""

    caller: Caller
    provider: Provider
    key: str
    epoch: Callable[[], float]

    async def bodies(self, pending: Pending) -> tuple[bytes, ...]:
        """Wait as long as is asked, make the calls, and return their answers' bodies.

        Raises:
            UpstreamError: one of them failed; the others are given up.
        """
        turns = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.timeout(_LONGEST):
                await asyncio.sleep(pending.wait)
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._body(call, turns)) for call in pending.calls]
        except TimeoutError:
            raise UpstreamUnavailable(
                "The vendor did not finish in time.", status=504, code="upstream_timeout"
            ) from None
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return tuple(task.result() for task in tasks)

    async def _body(self, call: UpstreamRequest | Fetch, turns: asyncio.Semaphore) -> bytes:
        async with turns:
            try:
                reply = await self.caller.send(self._call(call))
            except CallError as error:
                raise UpstreamUnavailable(str(error)) from None
        if not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body, vendor=self.provider.name)
        return reply.body

    def _call(self, call: UpstreamRequest | Fetch) -> Call:
        return self._fetch(call.url) if isinstance(call, Fetch) else self._request(call)

    def _request(self, request: UpstreamRequest) -> Call:
        return signed_call(self.provider, self.key, request, now=int(self.epoch()), limit=_ANSWER_LIMIT)

    def _fetch(self, url: str) -> Call:
        parts = urlsplit(url)
        if parts.scheme not in names.FETCH_CLUSTERS or not parts.hostname:
            raise UpstreamProtocolError("The vendor's answer holds a URL that cannot be fetched.")
        if is_private(parts.hostname) and not is_private(self.provider.origin.host):
            raise UpstreamProtocolError("The vendor's answer holds the URL of a private host.")
        return Call(
            cluster=names.FETCH_CLUSTERS[parts.scheme],
            method="GET",
            host=parts.netloc.rpartition("@")[2],
            path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            limit=_ANSWER_LIMIT,
        )


def signed_call(provider: Provider, key: str, request: UpstreamRequest, *, now: int, limit: int) -> Call:
    """A translator's request as a call of our own, with its credential; `limit` is bytes of its answer."""
    outgoing = addressed(provider, request, now=now)
    return Call(
        cluster=provider.cluster,
        method=outgoing.method,
        host=outgoing.host,
        path=outgoing.path,
        headers=(*outgoing.headers, *provider.vendor.auth.headers(key, outgoing)),
        body=outgoing.body,
        limit=limit,
    )


def addressed(provider: Provider, request: UpstreamRequest, *, now: int) -> Outgoing:
    """A translator's request as it leaves for a provider, its credential aside."""
    content = (("content-type", request.content_type),) if request.body else ()
    return Outgoing(
        method=request.method,
        host=provider.origin.authority,
        path=provider.origin.path + request.path,
        headers=(*content, ("accept-encoding", "identity"), *request.headers),
        body=request.body,
        now=now,
    )


def is_private(host: str) -> bool:
    """Whether a host is written as one that outsiders cannot reach."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
