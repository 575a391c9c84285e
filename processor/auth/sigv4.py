"""AWS's Signature Version 4, and Bedrock's API keys, which are sent as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from processor.auth.credentials import BEARER, HeaderPairs, Outgoing

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest

_REGION = re.compile(r"\.([a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})\.")
"""In a host: `bedrock-runtime.us-east-1.amazonaws.com`, and private endpoints' `….vpce.amazonaws.com`."""

_SIGNED = frozenset({"content-type", "host"})
"""What is signed beside AWS's own headers. What Envoy or a proxy may add or change is not."""

_TIMESTAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigV4:
    """A signature for `ACCESS_KEY_ID:SECRET_ACCESS_KEY` or `ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN`.

    Any other key is a Bedrock API key, which holds no colon: a bearer token.
    """

    service: str
    """AWS's name for signing, such as `bedrock`."""
    region: str = "us-east-1"
    """For hosts that do not name theirs."""

    def headers(self, key: str, outgoing: Outgoing) -> HeaderPairs:
        """The signature and what it covers: time, and session token if there is one."""
        parts = key.split(":")
        if len(parts) not in (2, 3) or not all(parts):
            return BEARER.headers(key, outgoing)
        return self._signed(parts, outgoing)

    def region_of(self, host: str) -> str:
        """The region a host is in."""
        found = _REGION.search(host)
        return found[1] if found else self.region

    def _signed(self, credentials: list[str], outgoing: Outgoing) -> HeaderPairs:
        # botocore takes a tenth of a second to import, which those who do not sign should not pay
        from botocore.auth import SigV4Auth
        from botocore.credentials import Credentials

        signer = SigV4Auth(Credentials(*credentials), self.service, self.region_of(outgoing.host))
        timestamp = datetime.fromtimestamp(outgoing.now, UTC).strftime(_TIMESTAMP)
        shown = (("x-amz-date", timestamp), *(("x-amz-security-token", token) for token in credentials[2:]))
        request = _request(outgoing, shown)
        # add_auth() would read the clock, so its steps are taken one by one
        request.context["timestamp"] = timestamp
        text = signer.string_to_sign(request, signer.canonical_request(request))
        names = signer.signed_headers(signer.headers_to_sign(request))
        value = (
            f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, "
            f"Signature={signer.signature(text, request)}"
        )
        return (*shown, ("authorization", value))


def _request(outgoing: Outgoing, shown: HeaderPairs) -> AWSRequest:
    from botocore.awsrequest import AWSRequest

    headers = {name: value for name, value in outgoing.headers if name.lower() in _SIGNED}
    headers |= {"host": outgoing.host, **dict(shown)}
    url = f"https://{outgoing.host}{outgoing.path}"
    return AWSRequest(method=outgoing.method, url=url, headers=headers, data=outgoing.body)
