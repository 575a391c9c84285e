"""The scripts in the manifests, run as they stand there but for the paths and ports of this machine."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from processor.config import Config
from processor.render import Settings, default_bootstrap, render
from processor.topology import build
from tests.support.gateway import free_port
from tests.unit.deploy.manifests import STATE, compose

SERVICES = compose()["services"]
READY, HEALTHY = (SERVICES[name]["healthcheck"]["test"][-1] for name in ("processor", "envoy"))
DRAIN = SERVICES["envoy"]["pre_stop"][0]["command"][-1]


class Envoy(ThreadingHTTPServer):
    """Stands in for Envoy's listener or admin interface: notes what is asked, answers as told."""

    def __init__(self, status: int = 200, active: tuple[int, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.active = list(active)
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        envoy = self.server
        assert isinstance(envoy, Envoy)
        envoy.asked.append(f"{self.command} {self.path}")
        active = envoy.active.pop(0) if self.path.startswith("/stats") else 0
        body = f"http.gateway.downstream_rq_active: {active}\n".encode()
        self.send_response(envoy.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running(envoy: Envoy) -> Iterator[Envoy]:
    thread = threading.Thread(target=envoy.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield envoy
    finally:
        envoy.shutdown()
        thread.join()
        envoy.server_close()


def bash(script: str) -> int:
    return subprocess.run(("bash", "-c", script), capture_output=True, timeout=30).returncode


def ready(state: Path) -> int:
    script = READY.replace(STATE, str(state))
    return subprocess.run((sys.executable, "-c", script), capture_output=True, timeout=30).returncode


def drain(envoy: Envoy) -> int:
    return bash(DRAIN.replace("127.0.0.1/9901", envoy.address.replace(":", "/")).replace("sleep 1", "sleep 0.01"))


@contextlib.contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def rendered(folder: Path, sockets: list[Path]) -> None:
    """Write Envoy's files for these workers."""
    settings = Settings(
        address="127.0.0.1",
        port=8080,
        admin_port=None,
        admin_socket=folder / "admin.sock",
        loopback_socket=folder / "loopback.sock",
        body_limit=1024,
        folder=folder / "envoy",
        access_log=folder / "access.jsonl",
    )
    files = render(
        build(Config(), demo_socket=""), settings, template=default_bootstrap(), sockets=sockets, ca_file="/ca.pem"
    )
    files.write(folder / "envoy")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder whose files name two workers."""
    rendered(tmp_path, [tmp_path / f"worker-{number}.sock" for number in range(2)])
    return tmp_path


def test_the_processor_is_ready_when_every_rendered_worker_accepts(state: Path) -> None:
    with listening(state / "worker-0.sock"), listening(state / "worker-1.sock"):
        assert ready(state) == 0


def test_the_processor_is_not_ready_while_one_worker_is_missing(state: Path) -> None:
    with listening(state / "worker-0.sock"):
        assert ready(state) != 0


def test_the_processor_is_not_ready_before_files_are_rendered(tmp_path: Path) -> None:
    assert ready(tmp_path) != 0


def test_the_processor_is_not_ready_when_the_files_name_no_worker(tmp_path: Path) -> None:
    rendered(tmp_path, [])
    assert ready(tmp_path) != 0


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_envoy_is_healthy_when_its_listener_says_200(status: int, healthy: bool) -> None:
    with running(Envoy(status)) as envoy:
        script = HEALTHY.replace("8080", str(envoy.server_port))
        assert (bash(script) == 0) is healthy
        assert envoy.asked == ["GET /healthz"]


def test_envoy_is_not_healthy_when_nobody_listens() -> None:
    assert bash(HEALTHY.replace("8080", str(free_port()))) != 0


def test_a_drain_stops_the_listeners_then_waits_until_nothing_is_active() -> None:
    with running(Envoy(active=(2, 1, 0))) as envoy:
        assert drain(envoy) == 0
        assert envoy.asked == [
            "POST /drain_listeners",
            *["GET /stats?filter=^http.gateway.downstream_rq_active$"] * 3,
        ]


def test_a_drain_gives_up_after_thirty_questions() -> None:
    with running(Envoy(active=(1,) * 40)) as envoy:
        drain(envoy)
        assert len(envoy.asked) == 1 + 30
