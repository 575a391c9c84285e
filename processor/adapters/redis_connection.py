"""The connection to Redis: pooled, with bounded waits; its address is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processor.config import RedisConfig

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CONNECT = 1.0
"""Seconds; whoever waits less gives up before."""
_ANSWER = 2.0
"""Seconds that an answer may take; what comes later is the answer to nothing, and its connection is closed."""
_CONNECTIONS = 64


def connect(config: RedisConfig) -> Redis:
    """A pool of connections that are made when they are needed."""
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool.from_url(
        config.url,
        max_connections=_CONNECTIONS,
        timeout=_ANSWER,
        socket_connect_timeout=_CONNECT,
        socket_timeout=_ANSWER,
        decode_responses=True,
        encoding_errors="replace",  # what others have put there is for its reader to refuse
        protocol=2,
        # A command whose answer was lost may have been done: sent again it would count twice. A connection that Redis
        # closed while it was idle is noticed, and made anew, before it is used.
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
