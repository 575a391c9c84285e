"""The configuration of a gateway without a file."""

from __future__ import annotations

import pytest

from processor.config import Config, KeyConfig, KnownProvider, ProviderConfig, default
from processor.errors import ConfigError

DIGEST = "ab" * 32


def test_what_the_environment_holds_keys_for_is_on(known: tuple[KnownProvider, ...]) -> None:
    environ = {"KIMI_API_KEY": "sk-kimi\n", "SILICONFLOW_API_KEY": "sk-flow", "DEEPSEEK_API_KEY": "", "UNRELATED": "x"}

    config = default(known=known, environ=environ, key_sha256=DIGEST)

    assert config.providers == {
        "moonshot": ProviderConfig(name="moonshot", api_keys=("sk-kimi",)),
        "silliconflow": ProviderConfig(name="silliconflow", api_keys=("sk-flow",)),
    }


def test_an_empty_environment_leaves_the_demo_vendor_and_one_key(known: tuple[KnownProvider, ...]) -> None:
    config = default(known=known, environ={}, key_sha256=DIGEST)

    assert config == Config(demo=True, keys=(KeyConfig(name="default", sha256=DIGEST),))
    assert (config.file, config.models, config.keys[0].models) == ("", {}, ())


def test_a_variable_that_is_no_key_is_refused_unseen(known: tuple[KnownProvider, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        default(known=known, environ={"DEEPSEEK_API_KEY": "sk-a\nsk-b"}, key_sha256=DIGEST)

    assert str(caught.value) == (
        "providers.deepseek: the environment variable DEEPSEEK_API_KEY holds characters that no header can carry"
    )
