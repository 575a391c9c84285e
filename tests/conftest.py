"""What every run of the tests has."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the golden cases have shown of each vendor, after a run that has played them."""
    if not any("test_capabilities.py" in report.nodeid for report in terminalreporter.getreports("passed")):
        return
    from tests.support.capabilities import table

    terminalreporter.section("vendor × endpoint × feature")
    terminalreporter.write_line(table())
