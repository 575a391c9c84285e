"""Golden cases: what a client asks, what a vendor is sent and answers, what the client gets. One YAML file a vendor.

A file is named after its vendor, `self_hosted` after any configured base URL, and is a list of cases:

    - name: tools streamed            # unique in its file
      operation: chat                 # the default
      model: deepseek-chat            # the vendor's name for the model
      request: {model: m, …}          # the client's body
      upstream:                       # what the vendor is to be sent
        path: /chat/completions
        headers: {name: value}        # beside the credential; none by default
        body: {…}
      answer:                         # the vendor's, raw
        status: 200                   # the default
        body: |                       # … or `stream:`, whose events end in an empty line
      client: same                    # `same` bytes as the vendor's, or a block; absent where an error is expected
      usage: {input: 9, output: 3, cached: 0, reasoning: 0}   # absent: the vendor gave no count
      error: {status: 429, type: …, code: …, message: …}      # what the client is told instead

The cases know nothing of how the gateway works, so that they can be played at every height: against the translator,
against an exchange, and through a real Envoy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from processor.domain import Operation, Usage

FOLDER = Path(__file__).parent.parent / "golden"

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenUpstream:
    """What the vendor is to be sent."""

    path: str
    body: JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenAnswer:
    """The vendor's answer."""

    status: int
    body: bytes
    streamed: bool

    @property
    def content_type(self) -> str:
        """What the vendor says it is."""
        return "text/event-stream" if self.streamed else "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenError:
    """What the client is told when the vendor fails."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One exchange."""

    vendor: str
    name: str
    operation: Operation
    model: str
    request: JSON
    upstream: GoldenUpstream
    answer: GoldenAnswer
    client: bytes | None
    """None where an error is expected."""
    usage: Usage | None
    error: GoldenError | None

    def __str__(self) -> str:
        return f"{self.vendor}: {self.name}"

    @property
    def streams(self) -> bool:
        """Whether the client asked for a stream."""
        return self.request.get("stream") is True

    @property
    def include_usage(self) -> bool:
        """Whether the client asked for the usage at the end of its stream."""
        return bool((self.request.get("stream_options") or {}).get("include_usage"))


def golden_vendors() -> list[str]:
    """The vendors that have a file."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def golden_cases() -> tuple[GoldenCase, ...]:
    """Every case of every file."""
    return tuple(case for vendor in golden_vendors() for case in _cases(vendor))


def _cases(vendor: str) -> Iterator[GoldenCase]:
    with (FOLDER / f"{vendor}.yaml").open(encoding="utf-8") as file:
        entries = yaml.safe_load(file)
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names), f"{vendor}: two cases have one name"
    yield from (_case(vendor, entry) for entry in entries)


def _case(vendor: str, entry: JSON) -> GoldenCase:
    unknown = entry.keys() - {"name", "operation", "model", "request", "upstream", "answer", "client", "usage", "error"}
    assert not unknown, f"{vendor}: {entry['name']}: {unknown} is not part of a case"
    assert ("client" in entry) != ("error" in entry), f"{vendor}: {entry['name']}: expects an answer, or else an error"
    answer = _answer(entry["answer"])
    return GoldenCase(
        vendor=vendor,
        name=entry["name"],
        operation=Operation(entry.get("operation", "chat")),
        model=entry["model"],
        request=entry["request"],
        upstream=GoldenUpstream(**entry["upstream"]),
        answer=answer,
        client=_client(entry["client"], answer) if "client" in entry else None,
        usage=_usage(entry["usage"]) if "usage" in entry else None,
        error=GoldenError(**entry["error"]) if "error" in entry else None,
    )


def _answer(entry: JSON) -> GoldenAnswer:
    streamed = "stream" in entry
    body = _events(entry["stream"]) if streamed else entry["body"].rstrip("\n").encode()
    return GoldenAnswer(status=entry.get("status", 200), body=body, streamed=streamed)


def _client(text: str, answer: GoldenAnswer) -> bytes:
    if text == "same":
        return answer.body
    return _events(text) if text.startswith(("data:", ":")) else text.strip().encode()


def _events(text: str) -> bytes:
    """A block of events; YAML keeps only one of the line feeds at its end."""
    return text.rstrip("\n").encode() + b"\n\n"


def _usage(entry: dict[str, int]) -> Usage:
    return Usage(
        input_tokens=entry["input"],
        output_tokens=entry["output"],
        cached_input_tokens=entry.get("cached", 0),
        reasoning_tokens=entry.get("reasoning", 0),
    )
