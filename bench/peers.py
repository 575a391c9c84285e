"""Install the gateways we compare with: each a pinned version in a folder of its own, once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.running import Unavailable

LITELLM = "1.106.0"
PORTKEY = "1.15.2"

_HONO = "1.13.5"
"""Of `@hono/node-server`: Portkey's own lock file's. Its package leaves the version open, and with any after 1.14.2
Portkey 1.15.2 answers 500 to every stream (github.com/Portkey-AI/gateway/issues/1389)."""

_PATIENCE = 900.0
"""Seconds one installer may take; LiteLLM's proxy brings some 150 packages."""


def litellm(cache: Path) -> None:
    """LiteLLM's proxy, in a virtual environment of its own: its pins must not meet ours."""
    folder = cache / "litellm"
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _install(
        folder,
        LITELLM,
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, f"litellm[proxy]=={LITELLM}"],
    )


def portkey(cache: Path) -> None:
    """Portkey's gateway, a package of node's."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed")
    folder = cache / "portkey"
    package = {
        "private": True,
        "dependencies": {"@portkey-ai/gateway": PORTKEY},
        "overrides": {"@hono/node-server": _HONO},
    }
    npm = ["npm", "install", "--prefix", str(folder), "--omit=dev", "--no-fund", "--no-audit"]
    _install(folder, PORTKEY, npm, files={"package.json": json.dumps(package)})


def _install(folder: Path, version: str, *commands: list[str], files: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write the files and run the commands, unless just these have run before.

    Raises Unavailable with what the installer said.
    """
    recipe = json.dumps([commands, dict(files)])
    done = folder / ".installed"
    if done.exists() and done.read_text() == recipe:
        return
    print(f"installing {folder.name} {version} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    for command in commands:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"could not be installed: {_complaint(error.stderr)}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"could not be installed in {_PATIENCE:.0f} s") from error
    done.write_text(recipe)


def _complaint(stderr: str) -> str:
    """The line that says what is wrong: the last with "error" in it, or the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["no reason given"]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])[:200]
