"""Every feature a vendor is said to offer is shown by a golden case; the document says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.cli.vendors import NONE, markdown
from tests.support.capabilities import Row, rows

DOCUMENT = Path(__file__).parents[3] / "docs/vendors.md"


@pytest.mark.parametrize(
    "row", [row for row in rows() if row.how != NONE], ids=lambda row: f"{row.vendor}{row.endpoint}"
)
def test_what_a_vendor_is_said_to_offer_is_shown(row: Row) -> None:
    assert not row.unproven, "offered, and shown by no golden case"


def test_the_document_is_rendered_from_the_vendors() -> None:
    assert DOCUMENT.read_text("utf-8") == markdown(), "run `python -m processor vendors --markdown > docs/vendors.md`"
