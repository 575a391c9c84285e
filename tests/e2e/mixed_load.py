"""Mixed requests against a gateway, a tenth of them abandoned in mid-stream: `URL KEY REQUESTS CLIENTS`.

Prints a JSON object: how many requests ended with which status, or `abandoned`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator

import aiohttp

_MESSAGES = [{"role": "user", "content": "one two three"}]


async def main(url: str, key: str, requests: int, clients: int) -> None:
    """Send them all, in turn from a few clients."""
    seen: Counter[str] = Counter()
    numbers = iter(range(requests))
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(_client(session, key, numbers, seen) for _ in range(clients)))
    print(json.dumps(seen))


async def _client(session: aiohttp.ClientSession, key: str, numbers: Iterator[int], seen: Counter[str]) -> None:
    for number in numbers:
        seen[await _KINDS[number % 10](session, key)] += 1


async def _post(session: aiohttp.ClientSession, path: str, body: object, key: str) -> str:
    async with session.post(path, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        await answer.read()
        return str(answer.status)


async def _chat(session: aiohttp.ClientSession, key: str) -> str:
    return await _post(session, "/v1/chat/completions", {"model": "chat", "messages": _MESSAGES}, key)


async def _stream(session: aiohttp.ClientSession, key: str) -> str:
    return await _post(session, "/v1/chat/completions", {"model": "chat", "messages": _MESSAGES, "stream": True}, key)


async def _passthrough(session: aiohttp.ClientSession, key: str) -> str:
    return await _post(session, "/deepseek/chat/completions", {"model": "m", "messages": _MESSAGES}, key)


async def _bad_key(session: aiohttp.ClientSession, _: str) -> str:
    return await _post(session, "/v1/chat/completions", {"model": "chat", "messages": _MESSAGES}, "wrong")


async def _bad_model(session: aiohttp.ClientSession, key: str) -> str:
    return await _post(session, "/v1/chat/completions", {"model": "none", "messages": _MESSAGES}, key)


async def _abandoned(session: aiohttp.ClientSession, key: str) -> str:
    body = {"model": "house/slow", "messages": _MESSAGES, "stream": True}
    async with session.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        async for line in answer.content:
            if b'"content"' in line:
                answer.close()  # the connection too: the answer is not read to its end
                return "abandoned"
    return f"whole, {answer.status}"


_KINDS = (_chat, _stream, _passthrough, _abandoned, _chat, _stream, _passthrough, _bad_key, _bad_model, _chat)

if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
