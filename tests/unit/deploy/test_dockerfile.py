"""The processor's image, as far as its recipe can be checked without building it."""

from __future__ import annotations

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]  # it has no types

from processor import cli
from tests.unit.deploy.manifests import ROOT, STATE

DOCKERFILE = ROOT / "Dockerfile"


def instructions(name: str) -> list[str]:
    """The values of every instruction of a kind."""
    with DOCKERFILE.open("rb") as file:
        return [item["value"] for item in DockerfileParser(fileobj=file).structure if item["instruction"] == name]


def copied_sources() -> list[str]:
    """What is copied from the checkout, not from another stage."""
    copies = [copy.split() for copy in instructions("COPY") if "--from=" not in copy]
    return [source for words in copies for source in words[:-1]]


def included(path: str) -> bool:
    """Whether .dockerignore lets a path of the checkout's root into the build's context."""
    verdict = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatchcase(path, pattern):
            verdict = line.startswith("!")
    return verdict


def test_hadolint_finds_nothing_to_say() -> None:
    command = (str(Path(sys.executable).parent / "hadolint"), "--no-color", str(DOCKERFILE))
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.mark.parametrize("source", copied_sources())
def test_what_is_copied_is_there_and_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    assert included(Path(source).parts[0])


def test_everything_the_wheel_is_built_from_is_copied() -> None:
    copied = copied_sources()
    assert {"pyproject.toml", "README.md", "processor", "envoy/envoy.yaml"} == set(copied)


@pytest.mark.parametrize("name", [".git", ".venv", ".env", "tests", "docs", ".gateway"])
def test_nothing_else_is_in_the_build_context(name: str) -> None:
    assert not included(name)


def test_only_the_first_stage_installs_and_the_last_copies_its_result() -> None:
    first, last = DOCKERFILE.read_text("utf-8").split("\nFROM ")[1:]
    assert "pip" in first
    assert "pip" not in last
    assert "COPY --from=build /opt/gateway /opt/gateway" in last
    assert "PATH=/opt/gateway/bin:$PATH" in last


def test_both_stages_are_of_the_python_the_project_requires() -> None:
    bases = {base.split()[0] for base in instructions("FROM")}
    assert bases == {"docker.io/library/python:3.11-slim"}
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_image_runs_a_known_command_as_a_user_without_rights() -> None:
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["python", "-m", "processor"]
    (command,) = json.loads(instructions("CMD")[0])
    assert command in cli._COMMANDS
    assert instructions("USER") == ["65532:65532"]


def test_the_state_folder_belongs_to_that_user() -> None:
    (made,) = [run for run in instructions("RUN") if "install --directory" in run]
    assert f"--mode 0700 {STATE}" in made
    assert "--uid 65532" in made
    assert instructions("VOLUME") == [STATE]
