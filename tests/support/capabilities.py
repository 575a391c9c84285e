"""What the golden cases prove of each vendor: a table of vendor × endpoint × feature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from processor.cli.vendors import BY_CHAT, NONE, OWN, offered, vendors
from processor.domain import Feature, Operation
from processor.endpoints import ENDPOINTS, Endpoint, Streams
from processor.vendors._vendor import Vendor
from tests.support.golden import GoldenCase, golden_cases

WHOLE = "whole"
COLUMNS = (WHOLE, *Feature)
_OF_CHAT = {Feature.TOOLS, Feature.VISION, Feature.STRUCTURED, Feature.REASONING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One endpoint of one vendor."""

    vendor: str
    endpoint: str
    how: str
    cells: tuple[str, ...]

    @property
    def unproven(self) -> list[str]:
        """What is claimed and no case shows."""
        return [column for column, cell in zip(COLUMNS, self.cells, strict=True) if cell == "?"]


def rows() -> Iterator[Row]:
    """Every vendor and endpoint."""
    for vendor in vendors():
        for endpoint in ENDPOINTS:
            if endpoint.operation is not Operation.MODELS:
                yield _row(vendor, endpoint)


def _row(vendor: Vendor, endpoint: Endpoint) -> Row:
    how = offered(vendor, endpoint.operation)
    if how == NONE:
        cells = (NONE,) * len(COLUMNS)
    elif how == BY_CHAT:
        cells = tuple(_cell(vendor, endpoint, column, shown(vendor.name, Operation.CHAT)) for column in COLUMNS)
    else:
        cells = tuple(_cell(vendor, endpoint, column, shown(vendor.name, endpoint.operation)) for column in COLUMNS)
    return Row(vendor=vendor.name, endpoint=endpoint.path, how=how, cells=cells)


def _cell(vendor: Vendor, endpoint: Endpoint, column: str, proven: set[str]) -> str:
    if column == WHOLE and endpoint.streams is Streams.ALWAYS:
        column = Feature.STREAMED
    if column in proven:
        return OWN
    if endpoint.operation is not Operation.CHAT and column != WHOLE:
        return " "  # a relay shows what its vendor does; other endpoints have no such feature
    return NONE if column in vendor.lacks else "?"


def shown(vendor: str, operation: Operation) -> set[str]:
    """What the vendor's cases of an operation show."""
    found = set()
    for case in golden_cases():
        if case.vendor == vendor and case.operation is operation and case.client is not None:
            found |= features(case)
    return found


def features(case: GoldenCase) -> set[str]:
    """What one answered case shows."""
    asked, told = json.dumps(case.request), case.client or b""
    found: set[str] = {Feature.STREAMED if case.streams else WHOLE}
    if case.request.get("tools") and (b'"tool_calls":' in told or b'"tool_use"' in told or b'"function_call"' in told):
        found.add(Feature.TOOLS)
    if '"image_url"' in asked or '"type": "image"' in asked or '"input_image"' in asked:
        found.add(Feature.VISION)
    if '"json_schema"' in asked:
        found.add(Feature.STRUCTURED)
    if b'"reasoning_content":' in told or b'"thinking"' in told or b'"reasoning"' in told:
        found.add(Feature.REASONING)
    return found


def table() -> str:
    """The table as text."""
    head = ("vendor", "endpoint", "how", *COLUMNS)
    lines = [head, *((row.vendor, row.endpoint, row.how, *row.cells) for row in rows() if row.how != NONE)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(head))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return (
        f"{text}\n{OWN} done, shown by a golden case · {NONE} not offered by the vendor · chat: translated to its chat"
    )
