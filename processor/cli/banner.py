"""What a user reads when the gateway runs: where, with which key, and three lines to try."""

from __future__ import annotations

import json
import sys

from processor.app import Setup
from processor.dialects.base import Asked, Translator
from processor.domain import Operation
from processor.exchange.following import addressed
from processor.topology import Target, Topology
from processor.wire.json import decode_fields

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
    resolved = ((name, topology.resolve(name)) for name in topology.listed())
    chats = ((name, model.targets[0]) for name, model in resolved if model and _chat(model.targets[0]))
    found = next(chats, None)
    if found is None:
        return ""
    model, target = found
    bearer = f'-H "Authorization: Bearer {key}" {_JSON}'
    return f"""
Chat:
  curl {base}/v1/chat/completions {bearer} -d '{_body(model)}'

Streamed chat:
  curl -N {base}/v1/chat/completions {bearer} -d '{_body(model, stream=True)}'

Passthrough, with the vendor's own key and path:
  {_passthrough(base, target)}
"""


def _passthrough(base: str, target: Target) -> str:
    """The chat as its vendor wants it."""
    provider, chat = target.provider, _chat(target)
    assert chat is not None  # noqa: S101 - the target was chosen for it
    asked = Asked(fields=decode_fields(_body(target.model).encode()), model=target.model)
    outgoing = addressed(provider, chat.request(asked), now=0)
    variable = next(iter(provider.vendor.env), "")
    credential = provider.vendor.auth.headers(f"${variable}", outgoing) if variable else ()
    sent = [pair for pair in (*credential, *outgoing.headers) if pair[0] != "accept-encoding"]
    headers = " ".join(f'-H "{name}: {value}"' for name, value in sent)
    path = outgoing.path.removeprefix(provider.origin.path)
    return f"curl {base}/{provider.name}{path} {headers} -d '{outgoing.body.decode()}'"


def _chat(target: Target) -> Translator | None:
    return target.provider.vendor.translator(Operation.CHAT)


def _body(model: str, *, stream: bool = False) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **({"stream": True} if stream else {})}
    return json.dumps(body, separators=(",", ":"))
