"""A system under test is waited for, and ended with all that it started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.procfs import alive, tree
from bench.running import Command, Unavailable, free_port, start, stop

SERVER = """
import http.server, subprocess, sys

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()

subprocess.Popen(["sleep", "60"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def test_a_system_that_became_ready_is_ended_with_the_children_it_left_behind(tmp_path: Path) -> None:
    port = free_port()
    running = start(Command(argv=(sys.executable, "-c", SERVER, str(port))), port=port, ready="/ready", folder=tmp_path)
    members = tree(running.process.pid)
    assert len(members) == running.footprint().processes == 2
    assert running.footprint().rss > 1_000_000
    stop(running.process, patience=0.1)
    assert not any(map(alive, members))
    assert running.process.returncode is not None


def test_a_system_that_ends_at_once_is_unavailable_and_its_last_word_is_the_reason(tmp_path: Path) -> None:
    command = Command(argv=(sys.executable, "-c", "print('hello'); raise SystemExit('no such model')"))
    with pytest.raises(Unavailable, match="ended with 1 before it was ready: no such model"):
        start(command, port=free_port(), ready="/ready", folder=tmp_path)


def test_the_environment_of_a_system_has_what_its_row_says_and_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    source = "import os; raise SystemExit(f\"{os.environ['NAME']} {os.environ.get('HTTPS_PROXY')}\")"
    command = Command(argv=(sys.executable, "-c", source), env={"NAME": "value"})
    with pytest.raises(Unavailable, match="value None"):
        start(command, port=free_port(), ready="/ready", folder=tmp_path)
