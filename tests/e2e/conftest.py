"""A real gateway in front of a scripted vendor, one pair for most tests."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from processor.vendors import VENDORS
from tests.support.fake_vendor import FakeVendor, openai_vendor_default
from tests.support.gateway import KEY_SHA256, Gateway
from tests.support.golden import golden_providers

LIMITED_KEY = "sk-test-limited"
BODY_LIMIT = 32 * 1024 * 1024


def configuration(vendor: FakeVendor) -> str:
    """Every kind of provider and model, all of them at the scripted vendor, or nowhere."""
    known = [name for name in VENDORS if name != "deepseek"]
    providers = "\n".join(f"  {name}: {{base_url: {vendor.url}, api_key: ${{VENDOR_KEY}}}}" for name in known)
    limited = hashlib.sha256(LIMITED_KEY.encode()).hexdigest()
    return f"""
workers: 2
drain: 10s
circuit: {{failures: 0}}
providers:
{providers}
{golden_providers(vendor.url)}
  deepseek: {{base_url: {vendor.url}, api_key: ${{VENDOR_KEY}}}}
  house:    {{dialect: openai, base_url: {vendor.url}/house/v1}}
  nowhere:  {{dialect: openai, base_url: "http://127.0.0.1:9/v1"}}
models:
  chat: {{targets: [{{provider: deepseek, model: deepseek-chat}}]}}
  backed-up:
    targets:
      - {{provider: nowhere, model: gone}}
      - {{provider: house, model: local}}
      - {{provider: deepseek, model: deepseek-chat}}
  impatient:
    targets: [{{provider: house, model: slow}}, {{provider: deepseek, model: deepseek-chat}}]
    retry: {{ttft: 600ms, idle: 600ms}}
  unreachable: {{targets: [{{provider: nowhere, model: gone}}]}}
keys:
  - {{name: tests, sha256: {KEY_SHA256}}}
  - {{name: limited, sha256: {limited}, models: [chat]}}
"""


@pytest_asyncio.fixture(scope="session")
async def the_vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor(openai_vendor_default) as vendor:
        yield vendor


@pytest_asyncio.fixture(scope="session")
async def gateway(the_vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path_factory.mktemp("gateway"), configuration(the_vendor)) as running:
        yield running


@pytest_asyncio.fixture
async def vendor(the_vendor: FakeVendor) -> AsyncIterator[FakeVendor]:
    """The scripted vendor, with nothing left of the last test; what it met must have been in order."""
    the_vendor.reset()
    yield the_vendor
    the_vendor.verify()


@pytest_asyncio.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client with the gateway's key."""
    async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=30) as plain:
        yield plain
