"""A processor in the test's own process, on a Unix socket, and Envoy's half of the conversation."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from processor import app
from processor.accounting.observations import ObservationLog
from processor.extproc.server import start
from processor.state import State
from processor.vendors import VENDORS
from tests.extproc.envoy import Envoy, connected

KEY = "sk-extproc"
NARROW_KEY = "sk-extproc-narrow"


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("extproc"))
    state.create()
    return state


@pytest_asyncio.fixture(scope="session")
async def envoy(state: State) -> AsyncIterator[Envoy]:
    providers = "\n".join(f"  {name}: {{api_key: ${{VENDOR_KEY}}}}" for name in VENDORS)
    config = state.folder / "gateway.yaml"
    config.write_text(f"""
providers:
{providers}
models:
  two:
    targets: [{{provider: deepseek, model: a}}, {{provider: moonshot, model: b}}]
    retry: {{ttft: 200ms}}
keys:
  - {{name: tests, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}
  - {{name: narrow, sha256: {hashlib.sha256(NARROW_KEY.encode()).hexdigest()}, models: ["deepseek/*"]}}
""")
    setup = app.load(config, state, {"VENDOR_KEY": "sk-vendor"})
    observations = ObservationLog(state.observed)
    server = await start(app.servicer(setup, observations), state.worker_socket(0))
    async with connected(state.worker_socket(0)) as channel:
        yield channel
    await server.stop(0)
    observations.close()


@pytest.fixture
def observed(state: State) -> Path:
    return state.observed
