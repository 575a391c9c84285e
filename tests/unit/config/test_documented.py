"""The documentation names every key, and its examples are configurations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from processor.config import KnownProvider, load, schema
from processor.errors import ConfigError

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/configuration.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
MESSAGES = re.findall(r"^gateway\.yaml:\d+: .*$", DOCUMENT, re.MULTILINE)
GIVEN = {
    ("Config", "file"),
    ("ProviderConfig", "name"),
    ("ModelConfig", "name"),
    ("TeamConfig", "name"),
    ("PriceConfig", "name"),
}
"""What is filled in, not written."""

KNOWN = [KnownProvider(name) for name in ("deepseek", "moonshot", "openai", "tencent", "bedrock")] + [
    KnownProvider("ali", dialects=("dashscope",)),
    KnownProvider("azure", homeless=True),
]
VARIABLES = (
    "DEEPSEEK_API_KEY MOONSHOT_KEY_1 MOONSHOT_KEY_2 CLAUDE_KEY DASHSCOPE_API_KEY AZURE_OPENAI_API_KEY"
    " AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY REDIS_PASSWORD"
)
ENVIRON = {name: f"sk-{number}" for number, name in enumerate(VARIABLES.split())}
DIALECTS = ("openai", "anthropic")


def keys() -> Iterator[tuple[str, str]]:
    for kind in vars(schema).values():
        if isinstance(kind, type) and issubclass(kind, Struct) and kind is not Struct:
            for field in msgspec.structs.fields(kind):
                if (kind.__name__, field.name) not in GIVEN:
                    yield kind.__name__, field.encode_name


@pytest.mark.parametrize(("kind", "key"), sorted(keys()))
def test_every_key_is_documented_and_shown(kind: str, key: str) -> None:
    section = f"## `{key}`" if kind == "Config" else f"| `{key}` |"
    assert section in DOCUMENT or (kind == "Config" and f"| `{key}` |" in DOCUMENT)
    assert f"{key}:" in (ROOT / "examples/gateway.yaml").read_text("utf-8")


def test_the_example_loads() -> None:
    config = load(ROOT / "examples/gateway.yaml", known=KNOWN, environ=ENVIRON)

    assert list(config.providers) == ["deepseek", "moonshot", "house"]
    assert config.models["chat-fast"].targets[0].weight == 3
    assert [key.name for key in config.keys] == ["team-a", "batch-jobs"]


def test_the_document_has_an_example_of_every_section() -> None:
    sections = {key for kind, key in keys() if kind == "Config"}

    assert sections == {key for text in EXAMPLES for key in re.findall(r"^(\w+):", text, re.MULTILINE)}


def test_the_examples_of_the_document_load_as_one_file(tmp_path: Path) -> None:
    (tmp_path / "openai").write_text("sk-4", "utf-8")
    text = "\n".join(EXAMPLES).replace("/run/secrets", str(tmp_path))
    (tmp_path / "gateway.yaml").write_text(text, "utf-8")

    config = load(tmp_path / "gateway.yaml", known=KNOWN, environ=ENVIRON, dialects=DIALECTS)

    named = ["deepseek", "moonshot", "openai", "tencent", "house", "claude", "ali", "azure", "bedrock"]
    assert list(config.providers) == named
    assert config.providers["bedrock"].api_keys == ("sk-6:sk-7",)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "targets[1].weight",
            "demo: true\nmodels: {chat-fast: {targets: [T, {provider: demo, model: b, weight: three}]}}",
        ),
        ("deepseek.api_key", "providers: {deepseek: {api_key: ${DEEPSEEK_API_KEY}}}"),
        ("strategie", "demo: true\nmodels: {chat-fast: {strategie: weighted, targets: [T]}}"),
    ],
)
def test_the_messages_of_the_document_are_real(refuse: Callable[[str], ConfigError], path: str, text: str) -> None:
    error = refuse(text.replace("T]", "{provider: demo, model: a}]").replace("T,", "{provider: demo, model: a},"))

    assert [f"{error.path}: {error.message}"] == [m.split(": ", 1)[1] for m in MESSAGES if f"{path}: " in m]
