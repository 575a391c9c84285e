"""`up`: the whole gateway as one supervised pair."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from processor import app
from processor.cli.arguments import add_config, add_state, state_of
from processor.cli.banner import banner
from processor.cli.rendering import write_envoy_files
from processor.cli.running import admin_of, demo_vendor, recorder, workers
from processor.endpoints import HEALTH_PATH
from processor.errors import ConfigError
from processor.state import State
from processor.supervise import envoy
from processor.supervise.child import Child, tied_to_parent
from processor.supervise.supervisor import Supervisor

_READY_WITHIN = 30.0
_POLL = 0.03
_TRIES = 2
"""Times a process may end before it was ever of use: what it refuses once it refuses again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, and what may differ on this machine."""
    add_config(parser)
    parser.add_argument("--port", type=_port, metavar="N", help="listen here instead of where the configuration says")
    add_state(parser)
    parser.add_argument(
        "--envoy", metavar="FILE", type=Path, help="the bootstrap to fill in (default: the gateway's own)"
    )


def run(args: argparse.Namespace) -> int:
    """Start everything, say how to use it, run until Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    state = state_of(args)
    setup = app.load(args.config, state)
    address = (setup.config.listen.address, args.port or setup.config.listen.port)
    _require_free(*address)
    admin = admin_of(setup)
    supervisor = Supervisor(
        children=[*demo_vendor(setup), *workers(setup, args.config), _envoy(setup, address[1], args.envoy)],
        recorder=recorder(setup, admin),
        drain=setup.config.drain,
        admin=admin,
    )
    return asyncio.run(_run(supervisor, setup, address))


async def _run(supervisor: Supervisor, setup: app.Setup, address: tuple[str, int]) -> int:
    failed = False

    async def announce() -> None:
        nonlocal failed
        host = "127.0.0.1" if address[0] in ("0.0.0.0", "::") else address[0]  # noqa: S104 - comparing, not binding
        base = f"http://{f'[{host}]' if ':' in host else host}:{address[1]}"
        if await _ready(base, setup, supervisor.children):
            print(banner(base, setup), flush=True)
            return
        failed = True
        print(_why(setup.state), file=sys.stderr)
        supervisor.stop()

    announcing: list[asyncio.Task[None]] = []
    await supervisor.run(lambda: announcing.append(asyncio.create_task(announce())))
    return 1 if failed else 0


async def _ready(base: str, setup: app.Setup, children: Sequence[Child]) -> bool:
    loop = asyncio.get_running_loop()
    sockets = [setup.state.worker_socket(number) for number in range(setup.config.workers)]
    if setup.config.demo:
        sockets.append(setup.state.demo_socket)
    deadline = loop.time() + _READY_WITHIN
    while loop.time() < deadline and all(child.restarts < _TRIES for child in children):
        if all(map(_accepts, sockets)) and await asyncio.to_thread(_healthy, base):
            return True
        await asyncio.sleep(_POLL)
    return False


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def _healthy(base: str) -> bool:
    try:
        with urllib.request.urlopen(base + HEALTH_PATH, timeout=1) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _envoy(setup: app.Setup, port: int, template: Path | None) -> Child:
    """Envoy, whose files are rendered while the workers start."""
    return Child(
        name="Envoy",
        command=tied_to_parent(envoy.command(setup.state)),
        environ=dict(os.environ),
        output=setup.state.envoy_log,
        prepare=lambda: write_envoy_files(setup, setup.state.envoy, template=template, port=port),
    )


def _require_free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {address}:{port}: {error.strerror}; choose another with --port"
            ) from None


def _why(state: State) -> str:
    """The last words of an Envoy that did not come up."""
    lines = state.envoy_log.read_text("utf-8", "replace").splitlines() if state.envoy_log.exists() else []
    return "\n".join(["The gateway did not start. Envoy's last words:", *lines[-5:]])


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port: expected 1 to 65535")
    return port
