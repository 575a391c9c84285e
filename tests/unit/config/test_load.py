"""What a good configuration comes to."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from processor.adapters.redis_connection import connect
from processor.config import (
    AdminConfig,
    Config,
    KeyConfig,
    LimitsConfig,
    ListenConfig,
    ModelConfig,
    ProviderConfig,
    RetryConfig,
    TargetConfig,
    UsageConfig,
)

Load = Callable[..., Config]
DIGEST = "0123456789abcdef" * 4

FULL = f"""\
listen: {{address: 0.0.0.0, port: 8443}}
admin: {{port: 9901}}
workers: 4
body_limit: 8MiB
drain: 1.5m
demo: true
usage: {{sink: jsonl, path: /var/usage.jsonl}}
providers:
  deepseek: {{api_key: ${{KEY}}}}
  moonshot: {{api_key: [${{KEY}}, ${{OTHER}}]}}
  tencent:  {{base_url: http://127.0.0.1:9000/}}
  house:    {{dialect: openai, base_url: "http://vllm:8000/v1", ca_file: /etc/ssl/house.pem}}
models:
  chat-fast:
    strategy: weighted
    targets:
      - {{provider: deepseek, model: deepseek-chat, weight: 3}}
      - {{provider: house, model: qwen}}
    retry: {{attempts: 2, ttft: 800ms, timeout: 2m}}
keys:
  - {{name: team-a, sha256: {DIGEST}, models: [chat-fast, "deepseek/*"]}}
"""


def test_every_key_ends_up_in_its_place(load_text: Load) -> None:
    config = load_text(FULL)

    assert config.listen == ListenConfig(address="0.0.0.0", port=8443)
    assert config.admin == AdminConfig(port=9901)
    assert (config.workers, config.body_limit, config.drain, config.demo) == (4, 8 * 1024 * 1024, 90.0, True)
    assert config.usage == UsageConfig(sink="jsonl", path="/var/usage.jsonl")
    assert config.providers == {
        "deepseek": ProviderConfig(name="deepseek", api_keys=("sk-from-environment",)),
        "moonshot": ProviderConfig(name="moonshot", api_keys=("sk-from-environment", "sk-other")),
        "tencent": ProviderConfig(name="tencent", base_url="http://127.0.0.1:9000"),
        "house": ProviderConfig(
            name="house", dialect="openai", base_url="http://vllm:8000/v1", ca_file="/etc/ssl/house.pem"
        ),
    }
    assert config.models == {
        "chat-fast": ModelConfig(
            name="chat-fast",
            strategy="weighted",
            targets=(
                TargetConfig(provider="deepseek", model="deepseek-chat", weight=3),
                TargetConfig(provider="house", model="qwen", weight=1),
            ),
            retry=RetryConfig(attempts=2, ttft=0.8, timeout=120.0),
        )
    }
    assert config.keys == (KeyConfig(name="team-a", sha256=DIGEST, models=("chat-fast", "deepseek/*")),)
    assert config.file.endswith("/gateway.yaml")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "providers:\nmodels:\nkeys:\nlisten:\n"])
def test_what_is_left_out_has_a_default(load_text: Load, text: str) -> None:
    config = load_text(text)

    assert config == Config(file=config.file)
    assert config.listen == ListenConfig(address="127.0.0.1", port=8080)
    assert (config.workers, config.body_limit, config.drain, config.demo) == (1, 32 * 1024 * 1024, 30.0, False)
    assert (config.usage, config.admin) == (UsageConfig(sink="sqlite", path=None), AdminConfig(port=None))


@pytest.mark.parametrize(
    ("written", "seconds"), [("8s", 8.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("0s", 0.0), ("0.25s", 0.25)]
)
def test_durations_come_in_seconds(load_text: Load, written: str, seconds: float) -> None:
    assert load_text(f"drain: {written}").drain == seconds


@pytest.mark.parametrize(
    ("written", "count"), [("1000", 1000), ("64KiB", 65536), ("32MiB", 33554432), ("1 GiB", 1 << 30), ('"7"', 7)]
)
def test_sizes_come_in_bytes(load_text: Load, written: str, count: int) -> None:
    assert load_text(f"body_limit: {written}").body_limit == count


def test_another_spelling_of_a_provider_becomes_its_name_everywhere(load_text: Load) -> None:
    config = load_text(
        "providers: {siliconflow: {api_key: '${KEY}'}}\n"
        "models: {m: {targets: [{provider: siliconflow, model: a}, {provider: silliconflow, model: b}]}}\n"
    )

    assert config.providers == {"silliconflow": ProviderConfig(name="silliconflow", api_keys=("sk-from-environment",))}
    assert [target.provider for target in config.models["m"].targets] == ["silliconflow", "silliconflow"]


def test_a_target_switches_on_a_known_provider_whose_variable_is_set(load_text: Load) -> None:
    text = "models: {m: {targets: [{provider: moonshot, model: kimi-k2}]}}"

    assert load_text(text, {"KIMI_API_KEY": "sk-kimi"}).providers == {
        "moonshot": ProviderConfig(name="moonshot", api_keys=("sk-kimi",))
    }
    both = {"KIMI_API_KEY": "sk-kimi", "MOONSHOT_API_KEY": "sk-moon"}
    assert load_text(text, both).providers["moonshot"].api_keys == ("sk-moon",)


def test_an_entry_without_a_key_takes_its_variable(load_text: Load) -> None:
    assert load_text("providers: {deepseek: }", {"DEEPSEEK_API_KEY": "sk-d"}).providers["deepseek"].api_keys == (
        "sk-d",
    )


def test_a_certificate_needs_no_key_and_hides_none(load_text: Load) -> None:
    text = "providers: {deepseek: {ca_file: /ca.pem}}"

    assert load_text(text).providers["deepseek"].api_keys == ()
    assert load_text(text, {"DEEPSEEK_API_KEY": "sk-d"}).providers["deepseek"].api_keys == ("sk-d",)


def test_a_key_from_the_environment_is_not_sent_to_another_host(load_text: Load) -> None:
    config = load_text("providers: {deepseek: {base_url: 'http://stand-in'}}", {"DEEPSEEK_API_KEY": "sk-d"})

    assert config.providers["deepseek"].api_keys == ()


def test_a_provider_that_is_not_in_the_file_stays_off(load_text: Load) -> None:
    assert load_text("workers: 2", {"DEEPSEEK_API_KEY": "sk-d"}).providers == {}


def test_the_demo_vendor_may_be_a_target_where_it_is_on(load_text: Load) -> None:
    config = load_text("demo: true\nmodels: {m: {targets: [{provider: demo, model: demo-chat}]}}")

    assert config.models["m"].targets == (TargetConfig(provider="demo", model="demo-chat"),)
    assert config.providers == {}


def test_a_weight_of_zero_is_a_target_kept_for_failover(load_text: Load) -> None:
    config = load_text(
        "providers: {deepseek: {api_key: '${KEY}'}}\n"
        "models: {m: {targets: [{provider: deepseek, model: a}, {provider: deepseek, model: b, weight: 0}]}}\n"
    )

    assert [target.weight for target in config.models["m"].targets] == [1, 0]


def test_a_hash_is_lower_case_whatever_it_was(load_text: Load) -> None:
    assert load_text(f"keys: [{{name: a, sha256: {DIGEST.upper()}}}]").keys[0].sha256 == DIGEST


def test_relative_paths_count_from_the_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sk-from-file\n", "utf-8")
    config = load_text(
        "usage: {path: records/usage.db}\nproviders: {deepseek: {api_key: 'file:secret', ca_file: ca.pem}}\n"
    )

    assert config.usage.path == str(tmp_path / "records/usage.db")
    assert config.providers["deepseek"].ca_file == str(tmp_path / "ca.pem")
    assert config.providers["deepseek"].api_keys == ("sk-from-file",)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9000", "https://host/a/b", "http://[::1]:8000/v1", "https://my_host.internal:1", "HTTP://h"],
)
def test_base_urls_of_all_sorts_are_taken(load_text: Load, url: str) -> None:
    config = load_text(f"providers: {{house: {{dialect: openai, base_url: '{url}/'}}}}")

    assert config.providers["house"].base_url == url


def test_a_configuration_cannot_be_changed(load_text: Load) -> None:
    config = load_text(FULL)

    with pytest.raises(AttributeError):
        config.workers = 9  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        config.providers["x"] = config.providers["house"]  # type: ignore[index]  # that is the point


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hush@127.0.0.1",
        "redis://127.0.0.1/0?db=3",
        "unix:///run/redis.sock?db=2",
        "rediss://cache/1?ssl_ca_certs=/ca.pem&ssl_cert_reqs=optional&ssl_check_hostname=false",
    ],
)
def test_what_may_be_said_to_a_redis_the_client_understands(load_text: Callable[..., Config], url: str) -> None:
    config = load_text(f'redis: {{url: "{url}"}}')
    assert config.redis is not None
    connect(config.redis).connection_pool.make_connection()  # type: ignore[no-untyped-call]  # in redis-py


def test_limits_and_budgets_are_read_exactly(load_text: Callable[..., Config]) -> None:
    config = load_text(
        f"""
keys:
- name: a
  sha256: "{"0" * 64}"
  limits: {{rpm: 600, tpm: 200000, concurrent: 50}}
  budget: {{usd_per_day: 0.3, on_budget: reroute}}
  expires: 2027-01-31
  tags: {{owner: ana}}
redis: {{url: "redis://:${{SECRET}}@127.0.0.1/0"}}
workers: 4
""",
        {"SECRET": "hush"},
    )
    (key,) = config.keys
    assert key.limits == LimitsConfig(rpm=600, tpm=200000, concurrent=50)
    assert (key.budget.usd_per_day, key.budget.on_budget) == (Decimal("0.3"), "reroute")
    assert (key.expires, key.tags) == (1801353600.0, {"owner": "ana"})
    assert config.redis is not None
    assert config.redis.url == "redis://:hush@127.0.0.1/0"
    assert "hush" not in repr(config)
