"""The deployment's files as a container engine and a cluster read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
STATE = "/var/lib/gateway"
BASE = ROOT / "deploy" / "k8s" / "base"
EXAMPLE = ROOT / "deploy" / "k8s" / "overlays" / "example"

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """A YAML file's documents."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def compose() -> Document:
    """docker-compose.yaml, its `$$` read as Compose reads it."""
    document = documents(ROOT / "docker-compose.yaml")[0]
    interpolated: Document = _interpolated(document)
    return interpolated


def build(folder: Path) -> list[Document]:
    """What `kubectl kustomize` makes of a folder that uses only what ours use; generated names without their hash."""
    kustomization = documents(folder / "kustomization.yaml")[0]
    built: list[Document] = []
    for name in kustomization.get("resources", ()):
        path = folder / name
        built += build(path.resolve()) if path.is_dir() else documents(path)
    for generator in kustomization.get("configMapGenerator", ()):
        made = _config_map(folder, generator)
        built = [document for document in built if identity(document) != identity(made)]
        built.append(made)
    for patch in (
        document for item in kustomization.get("patches", ()) for document in documents(folder / item["path"])
    ):
        target = next(document for document in built if identity(document) == identity(patch))
        built[built.index(target)] = _merged(target, patch)
    return built


def identity(document: Document) -> tuple[str, str]:
    """Kind and name."""
    return document["kind"], document["metadata"]["name"]


def deployment(folder: Path) -> Document:
    """The one deployment of a folder."""
    (found,) = [document for document in build(folder) if document["kind"] == "Deployment"]
    return found


def pod(folder: Path) -> Document:
    """Its pod's spec."""
    spec: Document = deployment(folder)["spec"]["template"]["spec"]
    return spec


def containers(folder: Path) -> dict[str, Document]:
    """The pod's containers in the order in which they start."""
    spec = pod(folder)
    return {container["name"]: container for container in spec["initContainers"] + spec["containers"]}


def _config_map(folder: Path, generator: Document) -> Document:
    data = {name: (folder / name).read_text("utf-8") for name in generator["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _merged(base: Any, patch: Any) -> Any:
    """A strategic merge: mappings by key, lists of named things by name, all else replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return base | {key: _merged(base[key], value) if key in base else value for key, value in patch.items()}
    if isinstance(base, list) and all(isinstance(item, dict) and "name" in item for item in [*base, *patch]):
        by_name = {item["name"]: item for item in base}
        for item in patch:
            by_name[item["name"]] = _merged(by_name.get(item["name"], {}), item)
        return list(by_name.values())
    return patch


def _interpolated(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _interpolated(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(item) for item in node]
    return node.replace("$$", "$") if isinstance(node, str) else node
