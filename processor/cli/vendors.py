"""`vendors`: what each vendor offers, as a table; docs/vendors.md is this with `--markdown`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from processor.domain import Feature, Operation
from processor.endpoints import ENDPOINTS, Endpoint
from processor.vendors import VENDORS
from processor.vendors._vendor import Vendor
from processor.vendors.self_hosted import SELF_HOSTED

OWN, BY_CHAT, NONE = "✓", "chat", "–"
"""The vendor has the endpoint; its chat answers it; not offered."""

_ENDPOINTS = tuple(endpoint for endpoint in ENDPOINTS if endpoint.operation is not Operation.MODELS)

_HEAD = f"""# Vendors

Rendered by `python -m processor vendors --markdown` from `processor/vendors/`; a test keeps it so.

## Endpoints

{OWN} the vendor's own endpoint · `{BY_CHAT}` translated to and from the vendor's chat · {NONE} not offered
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to print it."""
    parser.add_argument("--markdown", action="store_true", help="print docs/vendors.md")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(markdown() if args.markdown else _plain(_endpoint_rows()), end="")
    return 0


def offered(vendor: Vendor, operation: Operation) -> str:
    """How a vendor answers an operation."""
    if operation in vendor.operations:
        return OWN
    return BY_CHAT if vendor.translator(operation) else NONE


def vendors() -> tuple[Vendor, ...]:
    """The known vendors, and a server of one's own."""
    return (*VENDORS.values(), SELF_HOSTED)


def markdown() -> str:
    """The document."""
    tables = [
        _HEAD,
        _table(_endpoint_rows()),
        "\n## Chat\n\nAll of it whole and streamed, where the model can.\n",
        _table(_feature_rows()),
        "\n## Keys, hosts, models\n",
        _table(_place_rows()),
    ]
    return "\n".join(tables)


def _endpoint_rows() -> Iterator[list[str]]:
    yield ["", *(_short(endpoint) for endpoint in _ENDPOINTS)]
    for vendor in vendors():
        yield [vendor.name, *(offered(vendor, endpoint.operation) for endpoint in _ENDPOINTS)]


def _feature_rows() -> Iterator[list[str]]:
    yield ["", *Feature, "dialects"]
    for vendor in vendors():
        if Operation.CHAT in vendor.operations:
            marks = [NONE if feature in vendor.lacks else OWN for feature in Feature]
            yield [vendor.name, *marks, ", ".join(vendor.dialects)]


def _place_rows() -> Iterator[list[str]]:
    yield ["", "also called", "key from", "host", "models listed without a configuration"]
    for vendor in VENDORS.values():
        variables = ", ".join(f"`{name}`" for name in vendor.env)
        host = f"`{vendor.origin}`" if vendor.origin else "by `base_url`"
        yield [vendor.name, ", ".join(vendor.aliases), variables, host, ", ".join(vendor.models)]


def _short(endpoint: Endpoint) -> str:
    return endpoint.path.removeprefix("/")


def _table(rows: Iterator[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _plain(rows: Iterator[list[str]]) -> str:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join("  ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in lines)
