"""docker-compose.yaml against Compose's own schema, and what it promises beyond that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.deploy.manifests import ROOT, STATE, Document, compose

PROCESSOR, ENVOY = "processor", "envoy"


def against_schema(path: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def services() -> dict[str, Document]:
    found: dict[str, Document] = compose()["services"]
    return found


def test_the_file_is_what_composes_schema_asks_for() -> None:
    run = against_schema(ROOT / "docker-compose.yaml")
    assert run.returncode == 0, run.stdout


def test_the_schema_notices_a_misspelt_key(tmp_path: Path) -> None:
    document = compose()
    document["services"][ENVOY]["stop_grace"] = document["services"][ENVOY].pop("stop_grace_period")
    broken = tmp_path / "docker-compose.yaml"
    broken.write_text(yaml.safe_dump(document), "utf-8")
    run = against_schema(broken)
    assert run.returncode == 1
    assert "stop_grace" in run.stdout


def test_envoy_starts_when_the_processor_is_healthy(services: dict[str, Document]) -> None:
    assert services[ENVOY]["depends_on"] == {PROCESSOR: {"condition": "service_healthy"}}
    assert services[PROCESSOR]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", [PROCESSOR, ENVOY])
def test_a_container_can_write_only_its_state(services: dict[str, Document], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == [f"state:{STATE}"]


def test_the_state_is_a_volume_that_stays() -> None:
    assert compose()["volumes"] == {"state": None}


def test_the_port_is_published_on_this_machine_only(services: dict[str, Document]) -> None:
    """Envoy's port, on the container whose network it shares."""
    assert services[PROCESSOR]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in services[ENVOY]
    assert services[ENVOY]["network_mode"] == "service:processor"


def test_mounted_files_are_there(services: dict[str, Document]) -> None:
    mounted = [volume.split(":")[0] for volume in services[PROCESSOR]["volumes"] if volume.startswith("./")]
    assert mounted
    assert all((ROOT / path).is_file() for path in mounted)
