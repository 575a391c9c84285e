"""The configurations the deployments start with: they load, and their demo key is the one written beside them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import app
from processor.state import State
from tests.unit.deploy.manifests import BASE, EXAMPLE, ROOT, build, identity

COMPOSE_CONFIG = ROOT / "deploy" / "gateway.yaml"
CONFIGS = [COMPOSE_CONFIG, BASE / "gateway.yaml", EXAMPLE / "gateway.yaml"]


def secret(name: str) -> dict[str, str]:
    found: dict[str, Any] = next(item for item in build(EXAMPLE) if identity(item) == ("Secret", name))
    values: dict[str, str] = found["stringData"]
    return values


def loaded(path: Path, tmp_path: Path) -> app.Setup:
    return app.load(path, State(tmp_path), environ=secret("gateway-vendor-keys"))


def digests(path: Path) -> list[str]:
    return [key["sha256"] for key in yaml.safe_load(path.read_text("utf-8"))["keys"]]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_configuration_loads(path: Path, tmp_path: Path) -> None:
    setup = loaded(path, tmp_path)
    assert setup.config.demo
    assert setup.config.listen.port == 8080


def test_the_demo_key_of_compose_is_the_one_in_its_comments() -> None:
    (key,) = set(re.findall(r"Bearer ([\w-]+)'", (ROOT / "docker-compose.yaml").read_text("utf-8")))
    assert f"`{key}`" in COMPOSE_CONFIG.read_text("utf-8")
    assert digests(COMPOSE_CONFIG) == [hashlib.sha256(key.encode()).hexdigest()]


def test_the_examples_key_opens_the_examples_gateway() -> None:
    assert digests(EXAMPLE / "gateway.yaml") == [hashlib.sha256(secret("gateway-key")["key"].encode()).hexdigest()]


@pytest.mark.parametrize(
    ("text", "config"),
    [(ROOT / "docker-compose.yaml", COMPOSE_CONFIG), (EXAMPLE / "application.yaml", EXAMPLE / "gateway.yaml")],
    ids=["compose", "k8s example"],
)
def test_the_model_an_example_asks_for_is_there(text: Path, config: Path, tmp_path: Path) -> None:
    (model,) = {json.loads(found) for found in re.findall(r'"model": ("[^"]+")', text.read_text("utf-8"))}
    assert loaded(config, tmp_path).topology.resolve(model) is not None
