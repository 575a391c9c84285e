"""The translator of a golden case."""

from __future__ import annotations

from processor.dialects.base import Translator
from processor.vendors import DIALECTS, VENDORS
from tests.support.golden import GoldenCase


def translator(case: GoldenCase) -> Translator:
    """What its vendor answers its operation with."""
    vendor = VENDORS[case.vendor] if case.vendor in VENDORS else DIALECTS[case.dialect]
    found = vendor.translator(case.operation)
    assert found is not None, f"{case.vendor} has no {case.operation}"
    return found
