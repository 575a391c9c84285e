"""What a user reads when the gateway runs: where, with which key, and three lines to try."""

from __future__ import annotations

import json
import sys

from processor.app import Setup
from processor.domain import Operation
from processor.topology import Target, Topology

_JSON = '-H "Content-Type: application/json"'


def banner(base: str, setup: Setup) -> str:
    """The text, for a gateway at `base` (`http://127.0.0.1:8080`)."""
    enabled = ", ".join(name for name, provider in setup.topology.providers.items() if provider.enabled)
    key = setup.gateway_key or "$GATEWAY_KEY"
    note = "" if setup.gateway_key else "   (one whose hash is in the configuration)"
    return f"""\
The gateway is running.

  base URL     {base}/v1
  gateway key  {key}{note}
  providers    {enabled or "none enabled; passthrough works for every known one"}
  usage        {sys.executable} -m processor usage --state {setup.state.folder}
{_examples(base, key, setup.topology)}
Ctrl-C ends it."""


def _examples(base: str, key: str, topology: Topology) -> str:
    model = next(iter(topology.listed()), "")
    resolved = topology.resolve(model)
    if resolved is None:
        return ""
    bearer = f'-H "Authorization: Bearer {key}" {_JSON}'
    return f"""
Chat:
  curl {base}/v1/chat/completions {bearer} -d '{_body(model)}'

Streamed chat:
  curl -N {base}/v1/chat/completions {bearer} -d '{_body(model, stream=True)}'

Passthrough, with the vendor's own key and path:
  {_passthrough(base, resolved.targets[0])}
"""


def _passthrough(base: str, target: Target) -> str:
    provider = target.provider
    path = provider.vendor.operations[Operation.CHAT].path
    variable = next(iter(provider.vendor.env), "")
    credential = provider.vendor.auth.headers(f"${variable}") if variable else ()
    key = "".join(f'-H "{name}: {value}" ' for name, value in credential)
    return f"curl {base}/{provider.name}{path} {key}{_JSON} -d '{_body(target.model)}'"


def _body(model: str, *, stream: bool = False) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **({"stream": True} if stream else {})}
    return json.dumps(body, separators=(",", ":"))
