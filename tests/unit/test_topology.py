"""What a configuration comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor import app
from processor.policy.access import allowed
from processor.state import State
from processor.topology import Origin, Topology, route_length

CONFIG = """
providers:
  tencent: {base_url: "http://127.0.0.1:9000/proxy", api_key: "${KEY}"}
  deepseek: {api_key: "${KEY}"}
  siliconflow: {api_key: "${KEY}"}
  house: {dialect: openai, base_url: "http://vllm:8000/v1"}
models:
  three:
    strategy: weighted
    targets:
      - {provider: deepseek, model: a}
      - {provider: house, model: b}
      - {provider: tencent, model: c}
    retry: {attempts: 2}
keys: []
"""


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG)
    return app.load(file, State(tmp_path), {"KEY": "sk-secret"}).topology


def test_a_base_url_replaces_scheme_host_and_port_and_goes_before_the_paths(topology: Topology) -> None:
    tencent = topology.providers["tencent"]
    assert (tencent.origin.scheme, tencent.origin.authority, tencent.origin.path) == (
        "http",
        "127.0.0.1:9000",
        "/proxy",
    )
    assert not tencent.hosts, "every path goes there"


def test_a_vendor_s_paths_may_fan_out_over_hosts(topology: Topology) -> None:
    bytedance = topology.providers["bytedance"]
    assert bytedance.hosts["/api/v3/sauc"].host == "openspeech.bytedance.com"
    assert dict(bytedance.clusters()) == {
        "provider/bytedance": bytedance.origin,
        "provider/bytedance/openspeech.bytedance.com": bytedance.hosts["/api/v3/tts"],
    }


def test_models_are_named_by_alias_or_by_provider_and_model(topology: Topology) -> None:
    three = topology.resolve("three")
    direct = topology.resolve("siliconflow/Qwen/Qwen3-32B")
    assert three is topology.models["three"]
    assert direct is not None
    assert str(direct.targets[0]) == "silliconflow/Qwen/Qwen3-32B"


@pytest.mark.parametrize(
    "name", ["", "/", "deepseek/", "nobody/m", "openai/gpt-5.2", "anthropic/claude", "gpt-5.2", "four"]
)
def test_what_is_not_enabled_is_not_there(topology: Topology, name: str) -> None:
    assert topology.resolve(name) is None


def test_a_well_known_name_of_an_enabled_provider_needs_no_prefix(topology: Topology) -> None:
    model = topology.resolve("deepseek-chat")
    assert model is not None
    assert model.name == "deepseek/deepseek-chat"


def test_attempts_may_take_any_sequence_of_a_model_s_providers(topology: Topology) -> None:
    routes = set(topology.routes())
    assert {("deepseek", "house"), ("house", "deepseek"), ("tencent", "tencent")} <= routes
    assert ("deepseek",) in routes, "a provider's own model has one attempt"
    assert ("openai",) not in routes, "it is not enabled"
    assert len(routes) == len(list(topology.routes())), "each once"


@pytest.mark.parametrize(
    ("providers", "attempts", "length"), [(1, 3, 3), (3, 3, 3), (10, 3, 3), (11, 3, 2), (5000, 9, 1), (2, 10, 10)]
)
def test_no_more_sequences_are_made_than_envoy_should_hold(providers: int, attempts: int, length: int) -> None:
    assert route_length(providers, attempts) == length


def test_listed_models_are_ours_first_then_the_well_known_ones(topology: Topology) -> None:
    listed = topology.listed()
    assert listed[0] == "three"
    assert "deepseek/deepseek-chat" in listed
    assert not [name for name in listed if name.startswith(("openai/", "house/"))]


def test_no_key_is_in_what_is_shown(topology: Topology) -> None:
    assert topology.providers["deepseek"].keys == ("sk-secret",)
    assert "sk-secret" not in repr(topology)


@pytest.mark.parametrize(
    ("patterns", "name", "may"),
    [
        ((), "any", True),
        (("a",), "a", True),
        (("a",), "b", False),
        (("x/*", "b"), "x/y/z", True),
        (("X/*",), "x/y", False),
    ],
)
def test_a_key_s_patterns(patterns: tuple[str, ...], name: str, *, may: bool) -> None:
    assert allowed(name, patterns) is may


def test_an_ipv6_host_stands_in_brackets() -> None:
    assert Origin.parse("http://[::1]:81/x/").authority == "[::1]:81"
    assert Origin.parse("https://api.example").authority == "api.example"
