"""The fake vendor under load, over TLS, and on uvloop."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
import uvloop

from tests.support.fake_vendor import FakeVendor, Received, Reply
from tests.unit.support.wire import GET, connected


async def test_under_load_every_request_is_kept_and_gets_its_own_answer() -> None:
    def answer(request: Received) -> Reply:
        return Reply.of(request.body)

    async def client(number: int, vendor: FakeVendor) -> None:
        async with connected(vendor) as wire:
            for turn in range(60):
                body = b"%03d-%03d" % (number, turn)
                wire.send(b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n" + body)
                assert (await wire.until(b"\r\n\r\n")).endswith(b"content-length: 7\r\n\r\n")
                assert await wire.exactly(7) == body

    async with FakeVendor(answer) as vendor:
        await asyncio.gather(*(client(number, vendor) for number in range(16)))
        assert len({request.body for request in vendor.requests}) == vendor.count == 16 * 60
        assert Counter(request.connection for request in vendor.requests) == dict.fromkeys(range(1, 17), 60)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate with")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ("-subj", "/CN=vendor", "-addext", "subjectAltName=IP:127.0.0.1")
    command = (openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject)
    subprocess.run((*command, "-keyout", str(key), "-out", str(made)), check=True, capture_output=True)
    return key, made


async def test_a_vendor_speaks_tls_and_its_faults_work_there_too(certificate: tuple[Path, Path]) -> None:
    key, made = certificate
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(made, key)
    trusted = ssl.create_default_context(cafile=str(made))
    async with FakeVendor(ssl=served) as vendor, aiohttp.ClientSession() as client:
        assert vendor.url.startswith("https://127.0.0.1:")
        vendor.script("/", Reply.text("hello"), Reply.reset())
        async with client.get(vendor.url, ssl=trusted) as response:
            assert await response.text() == "hello"
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(vendor.url, ssl=trusted)


async def every_kind() -> None:
    vendor = FakeVendor()
    async with vendor, connected(vendor) as wire:
        vendor.script(
            None, Reply.text("at once"), Reply.stream([b"a", 0, b"b"]), Reply.of(bytes(1_000_000)), Reply.reset()
        )
        wire.send(GET)
        await wire.until(b"at once")
        wire.send(GET)
        await wire.until(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        wire.send(GET)
        await wire.until(b"content-length: 1000000\r\n\r\n")
        assert await wire.exactly(1_000_000) == bytes(1_000_000)
        wire.send(GET)
        with pytest.raises(ConnectionResetError):
            await wire.rest()


def test_a_vendor_runs_on_uvloop() -> None:
    uvloop.run(every_kind())
