"""What a client says in headers it has no business with changes nothing and leaks nothing."""

from __future__ import annotations

import httpx

from processor import names
from processor.auth.credentials import CREDENTIAL_HEADERS
from tests.support.fake_vendor import FakeVendor, Reply
from tests.support.gateway import VENDOR_KEY, Gateway

BODY = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}

FORGED = {
    names.REQUEST_ID_HEADER: "11111111-1111-1111-1111-111111111111",
    names.CLUSTER_HEADER: "model/backed-up/0",
    "x-gateway-path": "/forged",
    "x-gateway-forwarded-proto": "forged",
    "x-gateway-key": "forged",
    "X-Gateway-Target": "forged",
    names.MAX_RETRIES_HEADER: "5",
    "x-envoy-retry-on": "5xx",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-original-path": "/forged",
    "x-rid": "forged",
    "x-filter": "forged",
}


async def test_internal_headers_from_outside_change_nothing_in_openai_mode(
    client: httpx.AsyncClient, gateway: Gateway, vendor: FakeVendor
) -> None:
    answer = await client.post("/v1/chat/completions", json=BODY, headers=FORGED)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-target"] == "deepseek/deepseek-chat"
    assert answer.headers["x-request-id"] != FORGED[names.REQUEST_ID_HEADER]
    assert vendor.count == 1
    assert "forged" not in vendor.last.head.decode().lower()
    record = await gateway.record_of(answer)
    assert (record["key"], record["path"]) == ("tests", "/v1/chat/completions")


async def test_internal_headers_from_outside_change_nothing_in_passthrough(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.default = Reply.of(b"ok", status=503)
    answer = await client.get("/openai/v1/files", headers=FORGED)
    assert answer.status_code == 503
    assert vendor.count == 1, "no retry was asked for by anyone who may"
    names_seen = {name.lower() for name, _ in vendor.last.headers}
    assert not {name for name in names_seen if name.startswith(("x-gateway-", "x-envoy-"))}


async def test_no_credential_of_the_client_reaches_a_vendor_in_openai_mode(
    client: httpx.AsyncClient, gateway: Gateway, vendor: FakeVendor
) -> None:
    stolen = {name: f"leak-{name}" for name in CREDENTIAL_HEADERS if name != "authorization"}
    answer = await client.post("/v1/chat/completions", json=BODY, headers={**stolen, "x-internal-user": "leak-user"})
    assert answer.status_code == 200
    assert "leak-" not in vendor.last.head.decode()
    assert gateway.key not in vendor.last.head.decode()
    assert vendor.last.all("authorization") == [f"Bearer {VENDOR_KEY}"]


async def test_no_secret_is_in_a_log_a_record_or_a_rendered_file(
    client: httpx.AsyncClient, gateway: Gateway, vendor: FakeVendor
) -> None:
    vendor.script("/v1beta/models", Reply.json({}))
    await client.get("/gemini/v1beta/models?key=sk-in-a-query", headers={"x-goog-api-key": "sk-in-a-header"})
    await client.post("/v1/chat/completions", json=BODY)
    count = len(gateway.records())
    await client.post("/v1/chat/completions", json={**BODY, "model": "nowhere/x"})
    await gateway.wait_for_records(count + 1)
    files = [path for path in gateway.folder.rglob("*") if path.is_file() and path.name != "gateway.yaml"]
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        for secret in (VENDOR_KEY, gateway.key, "sk-in-a-query", "sk-in-a-header"):
            assert secret.encode() not in content, f"{secret} is in {path}"
