"""One rig for all traps."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.envoy.rig import Rig, running


@pytest_asyncio.fixture(scope="session")
async def the_rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with running(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest.fixture
def rig(the_rig: Rig) -> Rig:
    the_rig.reset()
    return the_rig
