"""The further calls of an attempt, to a caller that is scripted."""

from __future__ import annotations

import asyncio

import pytest

from processor.dialects.base import ClientResponse, Fetch, Pending, UpstreamRequest
from processor.errors import UpstreamProtocolError, UpstreamRefused, UpstreamUnavailable
from processor.exchange.following import Following, is_private
from processor.ports import Call, CallError, Reply
from processor.topology import Origin, Provider
from processor.vendors import VENDORS


class Scripted:
    """Answers by path, and notes how many calls were under way together."""

    def __init__(self, **replies: Reply | CallError) -> None:
        self.replies = replies
        self.sent: list[Call] = []
        self.under_way = self.most = 0

    async def send(self, call: Call) -> Reply:
        self.sent.append(call)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        reply = self.replies.get(call.path.strip("/"), Reply(200, call.path.encode()))
        if isinstance(reply, CallError):
            raise reply
        return reply


def following(caller: Scripted, origin: str = "https://api.example.com/base") -> Following:
    provider = Provider(name="ali", vendor=VENDORS["ali"], origin=Origin.parse(origin))
    return Following(caller=caller, provider=provider, key="sk-1", epoch=lambda: 0.0)


def pending(*calls: UpstreamRequest | Fetch) -> Pending:
    def never(_: tuple[bytes, ...]) -> ClientResponse:
        raise AssertionError("the exchange goes on, not the calls")

    return Pending(calls=calls, then=never)


async def test_bodies_come_in_the_order_of_the_calls_a_few_at_once() -> None:
    caller = Scripted()
    bodies = await following(caller).bodies(pending(*(UpstreamRequest(path=f"/{n}") for n in range(30))))
    assert bodies == tuple(f"/base/{n}".encode() for n in range(30))
    assert 1 < caller.most <= 8


async def test_a_request_has_the_vendors_credential_and_a_fetch_has_none() -> None:
    caller = Scripted()
    request = UpstreamRequest(path="/tasks/1?full=1", body=b"{}", headers=(("x-async", "1"),))
    await following(caller).bodies(pending(request, Fetch("https://files.example/a%2Fb.png?s=%3D")))
    sent, fetched = sorted(caller.sent, key=lambda call: call.cluster, reverse=True)
    assert (sent.cluster, sent.method, sent.host) == ("provider/ali", "POST", "api.example.com")
    assert sent.path == "/base/tasks/1?full=1"
    assert dict(sent.headers).items() >= {"authorization": "Bearer sk-1", "x-async": "1"}.items()
    assert (fetched.cluster, fetched.method, fetched.host) == ("fetch/https", "GET", "files.example")
    assert (fetched.path, fetched.headers) == ("/a%2Fb.png?s=%3D", ())


async def test_a_vendors_refusal_is_the_requests() -> None:
    caller = Scripted(**{"base/no": Reply(429, b'{"message":"slow down","code":"Throttling"}')})
    with pytest.raises(UpstreamRefused) as refused:
        await following(caller).bodies(pending(UpstreamRequest(path="/yes"), UpstreamRequest(path="/no")))
    assert (refused.value.status, refused.value.message) == (429, "slow down")


async def test_no_answer_is_a_503() -> None:
    caller = Scripted(**{"base/no": CallError("gone")})
    with pytest.raises(UpstreamUnavailable) as unavailable:
        await following(caller).bodies(pending(UpstreamRequest(path="/no")))
    assert unavailable.value.status == 503


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.169.254/latest", "http://127.0.0.1/x", "http://[::1]/x", "http://10.0.0.8:80/x"),
        *("http://localhost/x", "https://vault.internal/x", "ftp://files.example/x", "file:///etc/passwd", "/x", ""),
    ],
)
async def test_what_is_not_a_public_url_is_not_fetched_for_a_public_vendor(url: str) -> None:
    caller = Scripted()
    with pytest.raises(UpstreamProtocolError):
        await following(caller).bodies(pending(Fetch(url)))
    assert not caller.sent


async def test_a_vendor_at_a_private_host_may_name_one() -> None:
    caller = Scripted()
    await following(caller, "http://10.0.0.7:8000").bodies(pending(Fetch("http://10.0.0.8/x")))
    assert caller.sent[0].host == "10.0.0.8"


@pytest.mark.parametrize(("host", "private"), [("8.8.8.8", False), ("example.com", False), ("0.0.0.0", True)])
def test_a_host_is_private_by_its_name(host: str, private: bool) -> None:
    assert is_private(host) is private
