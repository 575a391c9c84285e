from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from processor.auth.credentials import Outgoing
from processor.dialects.openai_chat import OpenAIChat
from processor.domain import Operation
from processor.vendors import DIALECTS, VENDORS, find
from processor.vendors._vendor import Vendor
from processor.vendors.self_hosted import SELF_HOSTED
from processor.wire.json import decode
from tests.support.asked import asked

PROMISED = """
    ali anthropic azure baidu bedrock bytedance deepseek gemini lingyi minimax moonshot openai silliconflow tencent
    xunfei zhipu
"""

vendors = pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: str(vendor.name))


def origin_of(vendor: Vendor, path: str) -> str:
    """The longest prefix wins, as the routes have it."""
    prefixes = [prefix for prefix in vendor.hosts if path.startswith(prefix)]
    return vendor.hosts[max(prefixes, key=len)] if prefixes else vendor.origin


def test_the_folder_holds_at_least_these() -> None:
    assert set(PROMISED.split()) <= set(VENDORS)


@vendors
def test_a_vendor_is_filed_under_its_name(vendor: Vendor) -> None:
    assert VENDORS[vendor.name] is vendor
    assert find(vendor.name) is vendor


def test_a_vendor_may_be_spelt_otherwise() -> None:
    assert find("siliconflow") is VENDORS["silliconflow"]
    assert find("nobody") is None
    assert "siliconflow" not in VENDORS


@vendors
def test_every_origin_is_scheme_and_host_alone(vendor: Vendor) -> None:
    for origin in filter(None, (vendor.origin, *vendor.hosts.values())):
        parts = urlsplit(origin)
        assert parts.scheme == "https"
        assert parts.netloc
        assert origin == f"https://{parts.netloc}"


@vendors
def test_every_vendor_can_be_switched_on_by_a_variable(vendor: Vendor) -> None:
    assert vendor.env
    assert all(name.isupper() and name.isidentifier() for name in vendor.env)


def test_no_two_vendors_share_a_variable_a_name_or_a_model() -> None:
    for shared in ("env", "aliases", "models"):
        seen = [value for vendor in VENDORS.values() for value in getattr(vendor, shared)]
        assert len(seen) == len(set(seen)), shared


@vendors
def test_vendors_that_chat_name_models(vendor: Vendor) -> None:
    # Not those whose models every account names itself.
    assert bool(vendor.models) is (Operation.CHAT in vendor.operations and bool(vendor.origin))


@vendors
def test_a_chat_path_stays_at_the_vendors_own_origin(vendor: Vendor) -> None:
    chat = vendor.operations.get(Operation.CHAT)
    paths = ["/v1/chat/completions", "/chat/completions", "/api/v3/chat/completions", "/v2/chat/completions"]
    if isinstance(chat, OpenAIChat):
        paths.append(chat.path)
    assert {origin_of(vendor, path) for path in paths} == {vendor.origin}


@pytest.mark.parametrize(
    ("name", "path", "origin"),
    [
        ("bytedance", "/api/v3/sauc/bigmodel_async", "https://openspeech.bytedance.com"),
        ("bytedance", "/api/v3/plan/sauc/bigmodel", "https://openspeech.bytedance.com"),
        ("bytedance", "/api/v3/tts/bidirection", "https://openspeech.bytedance.com"),
        ("bytedance", "/api/v3/auc/bigmodel/recognize/flash", "https://openspeech.bytedance.com"),
        ("bytedance", "/api/v1/tts/ws_binary", "https://openspeech.bytedance.com"),
        ("bytedance", "/api/v2/asr", "https://openspeech.bytedance.com"),
        ("bytedance", "/api/v3/responses", "https://ark.cn-beijing.volces.com"),
        ("bytedance", "/api/v3/bots/chat/completions", "https://ark.cn-beijing.volces.com"),
        ("tencent", "/asr/v2/1250000000", "https://asr.cloud.tencent.com"),
        ("tencent", "/asr/v3", "https://asr.cloud-rtc.com"),
        ("tencent", "/stream_wsv2", "https://tts.cloud.tencent.com"),
        ("tencent", "/anthropic/v1/messages", "https://api.hunyuan.cloud.tencent.com"),
        ("xunfei", "/v2/iat", "https://iat-api.xfyun.cn"),
        ("xunfei", "/v2/tts", "https://tts-api.xfyun.cn"),
        ("xunfei", "/v2.1/tti", "https://spark-api.cn-huabei-1.xf-yun.com"),
        ("xunfei", "/v1/private/mcd9m97e6", "https://cbm01.cn-huabei-1.xf-yun.com"),
        ("xunfei", "/v2/embeddings", "https://maas-api.cn-huabei-1.xf-yun.com"),
        ("baidu", "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb4", "https://aip.baidubce.com"),
        ("baidu", "/ws/2.0/speech/publiccloudspeech/v1/tts", "https://aip.baidubce.com"),
        ("baidu", "/realtime_asr", "https://vop.baidu.com"),
        ("ali", "/api-ws/v1/inference", "https://dashscope.aliyuncs.com"),
        ("minimax", "/ws/v1/t2a_v2", "https://api.minimaxi.com"),
        ("zhipu", "/api/paas/v4/realtime", "https://open.bigmodel.cn"),
    ],
)
def test_a_path_is_served_by_its_own_host(name: str, path: str, origin: str) -> None:
    assert origin_of(VENDORS[name], path) == origin


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("anthropic", "x-api-key", "sk-1"),
        ("gemini", "x-goog-api-key", "sk-1"),
        ("azure", "api-key", "sk-1"),
        ("bedrock", "authorization", "Bearer sk-1"),
        ("deepseek", "authorization", "Bearer sk-1"),
    ],
)
def test_a_key_goes_where_its_vendor_looks_for_it(name: str, header: str, value: str) -> None:
    outgoing = Outgoing(method="POST", host="h", path="/", headers=(), body=b"", now=0)
    assert VENDORS[name].auth.headers("sk-1", outgoing) == ((header, value),)


@vendors
def test_no_key_is_no_header(vendor: Vendor) -> None:
    outgoing = Outgoing(method="POST", host="h", path="/", headers=(), body=b"", now=0)
    assert vendor.auth.headers("", outgoing) == ()


def test_a_self_hosted_server_is_asked_below_its_base_url() -> None:
    chat = SELF_HOSTED.translator(Operation.CHAT)
    assert chat is not None
    request = chat.request(asked({}, model="local", stream=True))
    assert request.path == "/chat/completions"
    assert decode(request.body) == {"model": "local", "stream_options": {"include_usage": True}}
    assert SELF_HOSTED.name not in VENDORS


def test_a_server_may_speak_plain_openai_or_any_vendors_dialect() -> None:
    assert DIALECTS["openai"] is SELF_HOSTED
    assert {*VENDORS, *(name for vendor in VENDORS.values() for name in vendor.dialects)} == set(DIALECTS)
    assert {"dashscope", "minimax-native"} <= set(DIALECTS)
    assert DIALECTS["dashscope"].operations[Operation.CHAT] != VENDORS["ali"].operations[Operation.CHAT]
