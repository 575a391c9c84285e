"""The command line, as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = "demo: true\nkeys: []\n"
COMMANDS = ("up", "serve", "check", "render", "usage")


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "processor", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


def test_help_lists_the_commands() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert all(f"\n    {command}" in shown.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert f"python -m processor {command}" in shown.stdout


def test_check_says_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    checked = run("check", str(file))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout == f"{file}: good (1 providers, 0 models, 0 keys)\n"


@pytest.mark.parametrize("command", [("check",), ("render", "--out", "o"), ("up", "--config"), ("serve", "--config")])
def test_a_mistake_is_one_line_with_file_and_line_and_exit_code_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("demo: true\nworker: 2\n")
    failed = run(*command, str(file), *(() if command[0] == "check" else ("--state", str(tmp_path / "s"))), cwd=None)
    assert (failed.returncode, failed.stdout) == (2, "")
    [line] = failed.stderr.splitlines()
    assert line.startswith(f"{file}:2: worker: ")
    assert "workers" in line


def test_render_writes_three_files_and_names_them(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    written = run("render", str(file), "--out", str(tmp_path / "out"), "--state", str(tmp_path / "s"))
    assert written.returncode == 0
    assert [Path(line).name for line in written.stdout.splitlines()] == ["envoy.yaml", "clusters.yaml", "routes.yaml"]
    assert all(Path(line).exists() for line in written.stdout.splitlines())


@pytest.mark.parametrize("arguments", [("up", "--port", "0"), ("up", "--port", "x"), ("nothing",), ()])
def test_a_wrong_word_is_told_with_the_usage(arguments: tuple[str, ...]) -> None:
    failed = run(*arguments)
    assert failed.returncode == 2
    assert "usage:" in failed.stderr
    assert "Traceback" not in failed.stderr
