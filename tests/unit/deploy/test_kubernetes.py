"""The Kubernetes manifests against its own schemas, and the order and the rights of the sidecars."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.unit.deploy.manifests import (
    BASE,
    EXAMPLE,
    STATE,
    build,
    containers,
    deployment,
    documents,
    identity,
    pod,
)

FOLDERS = pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda folder: folder.name)
OLDEST = "1.29"  # the first in which a sidecar that restarts is on by default
NEWEST = kubernetes_validate.latest_version()
KNOWN_KEYS = {"apiVersion", "kind", "resources", "configMapGenerator", "patches", "images"}
SIDECARS = ("processor", "envoy")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@FOLDERS
def test_every_resource_is_what_kubernetes_schema_asks_for(folder: Path, version: str) -> None:
    for document in build(folder):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_notices_a_misspelt_key() -> None:
    broken = deployment(BASE)
    broken["spec"]["template"]["spec"]["initContainers"][1]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


@FOLDERS
def test_a_kustomization_uses_what_these_tests_understand(folder: Path) -> None:
    kustomization = documents(folder / "kustomization.yaml")[0]
    assert set(kustomization) <= KNOWN_KEYS
    assert (kustomization["kind"], kustomization["apiVersion"]) == (
        "Kustomization",
        "kustomize.config.k8s.io/v1beta1",
    )


@FOLDERS
def test_no_file_of_a_folder_is_left_out(folder: Path) -> None:
    kustomization = documents(folder / "kustomization.yaml")[0]
    named = {name for name in kustomization["resources"] if not (folder / name).is_dir()}
    named |= {name for generator in kustomization["configMapGenerator"] for name in generator["files"]}
    named |= {patch["path"] for patch in kustomization.get("patches", ())}
    assert named == {path.name for path in folder.iterdir()} - {"kustomization.yaml"}


@FOLDERS
def test_files_are_rendered_then_the_processor_then_envoy_then_the_application(folder: Path) -> None:
    assert list(containers(folder)) == ["render", "processor", "envoy", "application"]


@FOLDERS
def test_the_next_container_waits_until_a_sidecar_has_started(folder: Path) -> None:
    for name in SIDECARS:
        sidecar = containers(folder)[name]
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["startupProbe"]["failureThreshold"] >= 30
    assert "restartPolicy" not in containers(folder)["render"]


@FOLDERS
def test_no_sidecar_is_told_to_drain_before_the_application_has_ended(folder: Path) -> None:
    """A sidecar's preStop hook runs when the pod begins to end, not when the sidecar's turn has come."""
    assert all("lifecycle" not in containers(folder)[name] for name in SIDECARS)


@FOLDERS
def test_a_pod_runs_without_rights(folder: Path) -> None:
    spec = pod(folder)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(folder).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@FOLDERS
def test_every_container_says_what_it_needs_and_its_bound(folder: Path) -> None:
    for container in containers(folder).values():
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@FOLDERS
def test_only_the_gateways_containers_see_its_state(folder: Path) -> None:
    found = containers(folder)
    for name in ("render", *SIDECARS):
        assert {"name": "state", "mountPath": STATE} in found[name]["volumeMounts"]
    assert "volumeMounts" not in found["application"]
    volumes = {volume["name"] for volume in pod(folder)["volumes"]}
    assert {mount["name"] for c in found.values() for mount in c.get("volumeMounts", ())} == volumes


@FOLDERS
def test_the_pair_is_reached_on_loopback_and_knocked_on_from_inside(folder: Path) -> None:
    environ = {item["name"]: item.get("value") for item in containers(folder)["application"]["env"]}
    assert environ["OPENAI_BASE_URL"] == "http://127.0.0.1:8080/v1"
    probes = [probe for name in SIDECARS for kind, probe in containers(folder)[name].items() if kind.endswith("Probe")]
    assert len(probes) == 4
    assert all(set(probe) & {"exec", "httpGet", "tcpSocket", "grpc"} == {"exec"} for probe in probes)


def test_the_examples_secrets_are_those_the_pod_asks_for() -> None:
    secrets = {name for kind, name in map(identity, build(EXAMPLE)) if kind == "Secret"}
    found = containers(EXAMPLE)
    asked = {source["secretRef"]["name"] for source in found["processor"]["envFrom"]}
    asked |= {item["valueFrom"]["secretKeyRef"]["name"] for item in found["application"]["env"] if "valueFrom" in item}
    assert asked == secrets


def test_vendor_keys_reach_the_processor_and_nobody_else() -> None:
    found = containers(EXAMPLE)
    assert [name for name, container in found.items() if "envFrom" in container] == ["render", "processor"]


def test_the_configuration_in_the_pod_is_the_overlays() -> None:
    (config,) = [document for document in build(EXAMPLE) if document["kind"] == "ConfigMap"]
    assert config["data"]["gateway.yaml"] == (EXAMPLE / "gateway.yaml").read_text("utf-8")
    assert {"name": "config", "configMap": {"name": "gateway"}} in pod(EXAMPLE)["volumes"]
