from __future__ import annotations

import time
from calendar import timegm
from dataclasses import replace

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.auth.credentials import Outgoing
from processor.auth.sigv4 import SigV4

# The key, time and host of AWS's published test suite for Signature Version 4.
ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = f"{ID}:{SECRET}"
GET = Outgoing(method="GET", host="example.amazonaws.com", path="/", headers=(), body=b"", now=1440938160)

CONVERSE = Outgoing(
    method="POST",
    host="bedrock-runtime.eu-central-1.amazonaws.com",
    path="/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
    headers=(("content-type", "application/json"), ("x-request-id", "r-1"), ("Accept-Encoding", "gzip")),
    body=b'{"messages":[]}',
    now=1790000000,
)


def signed(outgoing: Outgoing, key: str = KEY, service: str = "bedrock") -> dict[str, str]:
    return dict(SigV4(service=service).headers(key, outgoing))


def authorization(names: str, signature: str, scope: str = "20150830/us-east-1/service") -> str:
    credential = f"{ID}/{scope}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


def botocores(outgoing: Outgoing, region: str, token: str | None = None) -> tuple[dict[str, str], int]:
    """What botocore signs by itself, at the time its clock shows."""
    request = AWSRequest(
        method=outgoing.method,
        url=f"https://{outgoing.host}{outgoing.path}",
        headers={"content-type": "application/json"},
        data=outgoing.body,
    )
    SigV4Auth(Credentials(ID, SECRET, token), "bedrock", region).add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() != "content-type"}
    return headers, timegm(time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))


def test_a_bedrock_api_key_is_a_bearer_token() -> None:
    assert signed(CONVERSE, "bedrock-api-key-YmVkcm9jaw==") == {"authorization": "Bearer bedrock-api-key-YmVkcm9jaw=="}


def test_no_key_is_shown_as_no_header() -> None:
    assert signed(CONVERSE, "") == {}


@pytest.mark.parametrize(
    ("outgoing", "names", "signature"),
    [
        (GET, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            replace(GET, method="POST"),
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            replace(
                GET,
                method="POST",
                headers=(("Content-Type", "application/x-www-form-urlencoded"),),
                body=b"Param1=value1",
            ),
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "post-x-www-form-urlencoded"],
)
def test_the_signatures_are_those_aws_publishes(outgoing: Outgoing, names: str, signature: str) -> None:
    assert signed(outgoing, service="service") == {
        "x-amz-date": "20150830T123600Z",
        "authorization": authorization(names, signature),
    }


@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdzEBYaDH//8="])
@pytest.mark.parametrize(
    "path", [CONVERSE.path, "/model/arn%3Aaws%3Abedrock%3A%3Aa%2Fb/converse-stream", "/a?b=c&a=%2F"]
)
def test_a_request_is_signed_as_botocore_signs_it(path: str, token: str | None) -> None:
    """The model's quoted colon is quoted once more in what is signed, which botocore is the measure of."""
    outgoing = replace(CONVERSE, path=path)
    expected, now = botocores(outgoing, "eu-central-1", token)
    assert signed(replace(outgoing, now=now), f"{KEY}:{token}" if token else KEY) == expected


@given(body=st.binary(max_size=50), name=st.text(st.sampled_from("abz019-._~%3A"), max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_body_and_model_are_signed_as_botocore_signs_them(body: bytes, name: str) -> None:
    outgoing = replace(CONVERSE, body=body, path=f"/model/{name}/converse")
    expected, now = botocores(outgoing, "eu-central-1")
    assert signed(replace(outgoing, now=now)) == expected


def test_a_session_token_is_sent_and_signed() -> None:
    headers = signed(CONVERSE, f"{KEY}:token")
    assert headers["x-amz-security-token"] == "token"
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in headers["authorization"]


def test_headers_that_others_may_touch_are_not_signed() -> None:
    assert signed(replace(CONVERSE, headers=CONVERSE.headers[:1])) == signed(CONVERSE)
    other = replace(CONVERSE, headers=(("content-type", "text/plain"),))
    assert signed(other)["authorization"] != signed(CONVERSE)["authorization"]


@pytest.mark.parametrize("changed", [{"method": "PUT"}, {"path": "/model/b/converse"}, {"body": b"{}"}, {"now": 1}])
def test_the_signature_covers(changed: dict[str, str]) -> None:
    assert signed(replace(CONVERSE, **changed))["authorization"] != signed(CONVERSE)["authorization"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-west-2.amazonaws.com", "us-west-2"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-0a1-2b3.bedrock-runtime.ap-southeast-12.vpce.amazonaws.com:8443", "ap-southeast-12"),
        ("bedrock-runtime.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("proxy.internal", "us-east-1"),
        ("127.0.0.1:8080", "us-east-1"),
    ],
)
def test_the_region_is_read_from_the_host(host: str, region: str) -> None:
    assert SigV4(service="bedrock").region_of(host) == region
    assert f"/{region}/bedrock/aws4_request" in signed(replace(CONVERSE, host=host))["authorization"]


def test_a_host_without_a_region_is_in_the_configured_one() -> None:
    auth = SigV4(service="bedrock", region="eu-west-3")
    assert "/eu-west-3/bedrock/" in dict(auth.headers(KEY, replace(CONVERSE, host="proxy")))["authorization"]
