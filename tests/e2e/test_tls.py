"""Vendors over TLS: verified by their name, against the CA that the configuration names."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio
import trustme
import websockets

from tests.support.fake_vendor import FakeVendor, Reply, openai_vendor_default
from tests.support.gateway import KEY_SHA256, Gateway

ASKED = [{"role": "user", "content": "Hello"}]


@pytest_asyncio.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[Gateway, FakeVendor]]:
    """A vendor at https://localhost, reached with its CA, without it, and by a name it has no certificate for."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with FakeVendor(openai_vendor_default, ssl=context) as vendor:
        config = f"""
providers:
  good: {{dialect: openai, base_url: "https://localhost:{vendor.port}/v1", ca_file: {ca_file}}}
  unknown-ca: {{dialect: openai, base_url: "https://localhost:{vendor.port}/v1"}}
  other-name: {{dialect: openai, base_url: "https://127.0.0.1:{vendor.port}/v1", ca_file: {ca_file}}}
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
        async with Gateway(tmp_path / "gateway", config) as gateway:
            yield gateway, vendor
        vendor.failures.clear()  # handshakes that were refused


async def test_tls_in_both_modes(secure: tuple[Gateway, FakeVendor]) -> None:
    gateway, vendor = secure
    async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=20) as client:

        async def chat(provider: str) -> httpx.Response:
            return await client.post("/v1/chat/completions", json={"model": f"{provider}/m", "messages": ASKED})

        answer = await chat("good")
        assert answer.status_code == 200
        assert vendor.last.header("host") == f"localhost:{vendor.port}"
        assert (await client.post("/good/chat/completions", json={"messages": ASKED})).status_code == 200
        seen = vendor.count
        for provider in ("unknown-ca", "other-name"):
            refused = await chat(provider)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "upstream_unavailable"
        assert vendor.count == seen, "nothing was sent to a host that could not be verified"
    vendor.default = Reply.websocket()
    async with websockets.connect(f"ws://127.0.0.1:{gateway.port}/good/realtime") as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
