"""Loads a text as `gateway.yaml`, with a few known providers and a small environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from processor.config import Config, KnownProvider, load
from processor.errors import ConfigError

Load = Callable[..., Config]
Refuse = Callable[..., ConfigError]

KNOWN = (
    KnownProvider("deepseek", env=("DEEPSEEK_API_KEY",)),
    KnownProvider("moonshot", env=("MOONSHOT_API_KEY", "KIMI_API_KEY")),
    KnownProvider("silliconflow", aliases=("siliconflow",), env=("SILICONFLOW_API_KEY",)),
    KnownProvider("tencent"),
    KnownProvider("ali", dialects=("dashscope",)),
    KnownProvider("azure", homeless=True),
)
ENVIRON = {"KEY": "sk-from-environment", "OTHER": "sk-other", "EMPTY": ""}


@pytest.fixture(name="known")
def _known() -> tuple[KnownProvider, ...]:
    return KNOWN


@pytest.fixture(name="load_text")
def _load_text(tmp_path: Path) -> Load:
    def load_text(text: str, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "gateway.yaml"
        path.write_text(text, "utf-8")
        return load(path, known=KNOWN, environ=ENVIRON | dict(environ or {}))

    return load_text


@pytest.fixture(name="refuse")
def _refuse(load_text: Load) -> Refuse:
    def refuse(text: str, environ: Mapping[str, str] | None = None) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ)
        assert len(str(caught.value).splitlines()) == 1
        return caught.value

    return refuse
