"""Vendor keys come by reference only, and are never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from processor.config import Config
from processor.errors import ConfigError

Load = Callable[..., Config]
Refuse = Callable[..., ConfigError]
SECRET = "sk-live-7c1f0d93"


def key_of(load_text: Load, written: str, environ: dict[str, str] | None = None) -> str:
    config = load_text(f"providers: {{deepseek: {{api_key: {written}}}}}", environ)
    return config.providers["deepseek"].api_keys[0]


def test_a_key_comes_from_the_environment(load_text: Load) -> None:
    assert key_of(load_text, "${KEY}") == "sk-from-environment"


def test_a_key_may_be_two_variables_and_a_sign(load_text: Load) -> None:
    assert key_of(load_text, '"${KEY}:${OTHER}"') == "sk-from-environment:sk-other"


def test_a_key_comes_from_a_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n", "utf-8")

    assert key_of(load_text, f"file:{tmp_path}/key") == SECRET
    assert key_of(load_text, '"file:${FOLDER}/key"', {"FOLDER": str(tmp_path)}) == SECRET


def test_a_line_end_around_a_variable_is_not_part_of_the_key(load_text: Load) -> None:
    assert key_of(load_text, "${KEY}", {"KEY": f" {SECRET}\n"}) == SECRET


def test_what_a_variable_holds_is_never_taken_for_a_file(load_text: Load) -> None:
    assert key_of(load_text, "${KEY}", {"KEY": "file:/etc/hostname"}) == "file:/etc/hostname"


@pytest.mark.parametrize(
    "written",
    [SECRET, f"[{SECRET}]", f"{SECRET}-${{KEY}}", f"${{KEY:-{SECRET}}}", f"${{NOBODY:-{SECRET}}}", f"'$${{{SECRET}}}'"],
)
def test_a_key_is_never_inline(refuse: Refuse, written: str) -> None:
    error = refuse(f"providers:\n  deepseek:\n    api_key: {written}")

    assert (error.line, error.path.removesuffix("[0]")) == (3, "providers.deepseek.api_key")
    assert error.message.startswith("never inline")
    assert SECRET not in str(error)


def test_a_key_is_not_a_number_or_a_mapping(refuse: Refuse) -> None:
    for written in ("12345", "{a: b}", "~", "''"):
        assert refuse(f"providers: {{deepseek: {{api_key: {written}}}}}").message.startswith("never inline")


def test_a_file_that_cannot_be_read_is_told(refuse: Refuse, tmp_path: Path) -> None:
    error = refuse(f"providers: {{deepseek: {{api_key: 'file:{tmp_path}/none'}}}}")

    assert error.message == f"cannot read {tmp_path}/none: No such file or directory"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" \n", "the file's content is empty"),
        (b"one\ntwo\n", "the file's content holds characters that no header can carry"),
        (b"\xff\xfe", "cannot read {path}: not UTF-8 text"),
        (b"x" * 65537, "cannot read {path}: over the limit of 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_key_is_told(refuse: Refuse, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)

    assert refuse(f"providers: {{deepseek: {{api_key: 'file:{path}'}}}}").message == message.format(path=path)


def test_a_variable_that_would_split_a_header_is_refused_unseen(refuse: Refuse) -> None:
    text = "providers: {deepseek: {api_key: ${KEY}}}"
    error = refuse(text, {"KEY": f"{SECRET}\r\nx-admin: yes"})

    assert error.message == "the environment variable KEY holds characters that no header can carry"
    found = refuse("providers: {deepseek: }", {"DEEPSEEK_API_KEY": f"{SECRET}\nx"})
    assert found.message == "the environment variable DEEPSEEK_API_KEY holds characters that no header can carry"


MISPLACED = (
    "providers: S",
    "providers: {deepseek: S}",
    "providers: {deepseek: [S]}",
    "providers: {deepseek: {S}}",
    "providers: {deepseek: {api_keys: S}}",
    "providers: {deepseek: {key: S}}",
    "providers: {deepseek: {base_url: 'https://u:S@host'}}",
    "providers: {deepseek: {base_url: 'https://host?key=S'}}",
    "providers: {deepseek: {base_url: S}}",
    "providers: {house: {dialect: S, base_url: 'http://h'}}",
    "keys: S",
    "keys: [S]",
    "keys: [{S}]",
    "keys: [{name: a, sha256: S}]",
    "keys: [{name: a, key: S}]",
    "providers: {deepseek: {api_key: '${S}'}}",
    "providers: {deepseek: {api_key: '${S'}}",
    "providers: {deepseek: {api_key: {S: 1}}}",
    "providers: {deepseek: {api_key: &S x}}",
    "providers: {deepseek: {api_key: *S}}",
    "providers: {deepseek: {api_key: !S x}}",
)


@pytest.mark.parametrize("text", MISPLACED)
def test_a_secret_in_the_wrong_place_is_not_shown(refuse: Refuse, text: str) -> None:
    assert SECRET not in str(refuse(text.replace("S", SECRET)))


@pytest.mark.parametrize(
    "text",
    [
        "workers: ${SECRET}",
        "demo: ${SECRET}",
        "drain: ${SECRET}",
        "body_limit: x${SECRET}",
        "listen: ${SECRET}",
        "listen: {address: ${SECRET}}",
        "usage: {sink: ${SECRET}}",
        "models: [${SECRET}]",
        "models: {m: {strategy: ${SECRET}, targets: [{provider: demo, model: a}]}}",
        "models: {m: {targets: [{provider: ${SECRET}, model: a}]}}",
        "models: {m: {targets: [{provider: demo, model: 'a b ${SECRET}'}]}}",
    ],
)
def test_what_a_variable_holds_is_never_shown(refuse: Refuse, text: str) -> None:
    assert SECRET not in str(refuse(text, {"SECRET": SECRET}))


def test_the_variable_is_named_instead(refuse: Refuse) -> None:
    assert refuse("workers: ${SECRET}", {"SECRET": SECRET}).message == "expected int, got the value of ${SECRET}"


def test_a_number_may_come_from_the_environment(load_text: Load) -> None:
    config = load_text("listen: {port: ${PORT}}\ndemo: ${DEMO}\nworkers: ${N:-3}", {"PORT": "8081", "DEMO": "true"})

    assert (config.listen.port, config.demo, config.workers) == (8081, True, 3)


def test_a_configuration_does_not_print_its_keys(load_text: Load) -> None:
    config = load_text("providers: {deepseek: {api_key: [${KEY}, ${OTHER}]}}")

    for text in (repr(config), str(config), f"{config.providers}", repr(config.providers["deepseek"])):
        assert "sk-" not in text
    assert "api_keys=<2 hidden>" in repr(config.providers["deepseek"])
