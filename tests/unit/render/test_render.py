"""Envoy's rendered files: complete, safe, and good in Envoy's own eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import app, names
from processor.cli.rendering import write_envoy_files
from processor.errors import ConfigError
from processor.state import State
from processor.supervise import envoy

MODELS = """
providers:
  deepseek: {api_key: "${KEY}"}
  moonshot: {api_key: "${KEY}"}
  house: {dialect: openai, base_url: "https://vllm:8443/v1", ca_file: "CA"}
models:
  one: {targets: [{provider: deepseek, model: a}]}
  three:
    strategy: weighted
    targets: [{provider: deepseek, model: a}, {provider: moonshot, model: b}, {provider: house, model: c, weight: 3}]
    retry: {attempts: 2, ttft: 8s, timeout: 60s}
body_limit: 1MiB
admin: {port: 9901}
"""


def rendered(folder: Path, config: str | None = None, **options: Any) -> dict[str, Any]:
    """Render a configuration; the three files, parsed."""
    state = State(folder / "state")
    state.create()
    file = None
    if config is not None:
        ca = folder / "ca.pem"
        ca.write_text("")
        file = folder / "gateway.yaml"
        file.write_text(config.replace('"CA"', f'"{ca}"'))
    setup = app.load(file, state, {"KEY": "sk-never-rendered"})
    write_envoy_files(setup, state.envoy, **options)
    return {
        name: yaml.safe_load((state.envoy / f"{name}.yaml").read_text()) for name in ("envoy", "clusters", "routes")
    }


def clusters(files: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cluster["name"]: cluster for cluster in files["clusters"]["resources"]}


def routes(files: dict[str, Any]) -> list[dict[str, Any]]:
    [table] = files["routes"]["resources"]
    return list(table["virtual_hosts"][0]["routes"])


@pytest.mark.parametrize("config", [None, MODELS.replace(', ca_file: "CA"', "")], ids=["defaults", "models"])
def test_envoy_accepts_what_is_rendered(tmp_path: Path, config: str | None) -> None:
    rendered(tmp_path, config)
    envoy.validate(tmp_path / "state" / "envoy" / "envoy.yaml")


def test_the_example_is_good_in_envoy_s_eyes(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "gateway.yaml"
    state = State(tmp_path)
    state.create()
    environ = {word.split("}")[0].split(":")[0]: "sk" for word in example.read_text().split("${")[1:]}
    write_envoy_files(app.load(example, state, environ), state.envoy)
    envoy.validate(state.envoy / "envoy.yaml")


def test_there_is_a_composite_for_every_sequence_of_a_model_s_providers(tmp_path: Path) -> None:
    found = clusters(rendered(tmp_path, MODELS))
    members = {
        name: [entry["name"] for entry in cluster["cluster_type"]["typed_config"]["clusters"]]
        for name, cluster in found.items()
        if cluster.get("cluster_type", {}).get("name") == "envoy.clusters.composite"
    }
    assert members["route/deepseek+moonshot"] == ["provider/deepseek", "provider/moonshot"]
    assert members["route/house+house"] == ["provider/house", "provider/house"]
    assert members["route/house"] == ["provider/house"]
    assert set().union(*members.values()) <= found.keys()


def test_no_limit_of_envoy_s_own_stands_in_the_way(tmp_path: Path) -> None:
    for cluster in clusters(rendered(tmp_path, MODELS)).values():
        [limits] = cluster["circuit_breakers"]["thresholds"]
        assert min(limits.values()) >= 1_000_000
        assert limits.keys() == {"max_connections", "max_pending_requests", "max_requests", "max_retries"}


def test_hosts_are_verified_by_their_own_name(tmp_path: Path) -> None:
    found = clusters(rendered(tmp_path, MODELS))
    tls = found["provider/house"]["transport_socket"]["typed_config"]
    assert tls["sni"] == "vllm"
    assert tls["auto_sni_san_validation"]
    assert tls["common_tls_context"]["validation_context"]["trusted_ca"]["filename"] == str(tmp_path / "ca.pem")
    assert "transport_socket" in found["provider/deepseek#websocket"]
    assert "transport_socket" not in found[names.PROCESSOR_CLUSTER]


def test_no_upgrade_can_reach_a_cluster_with_the_translating_filter(tmp_path: Path) -> None:
    """A refused upgrade that is retried through it crashes Envoy."""
    files = rendered(tmp_path, MODELS)
    composites = {name for name, cluster in clusters(files).items() if "cluster_type" in cluster}
    for route in routes(files):
        action = route.get("route", {})
        if "upgrade_configs" in action:
            assert action["cluster"] not in composites
            assert "retry_policy" not in action
            assert names.METER_FILTER not in route["typed_per_filter_config"]
    bootstrap = yaml.dump(files["envoy"])
    assert "upgrade_configs" not in bootstrap


def test_longer_prefixes_come_first_and_everything_else_is_answered(tmp_path: Path) -> None:
    table = routes(rendered(tmp_path))
    prefixes = [route["match"].get("prefix", "") for route in table]
    assert prefixes.index("/bytedance/api/v3/sauc") < prefixes.index("/bytedance/")
    assert prefixes[-1] == "/"
    assert table[-1]["direct_response"]["status"] == 404


def test_a_vendor_s_paths_go_to_the_hosts_that_serve_them(tmp_path: Path) -> None:
    table = {
        (route["match"].get("prefix", ""), route["name"]): route["route"]
        for route in routes(rendered(tmp_path))
        if "route" in route
    }
    speech = table["/v1/bytedance/api/v3/sauc", "passthrough.bytedance.websocket"]
    assert speech["cluster"] == "provider/bytedance/openspeech.bytedance.com#websocket"
    assert (speech["host_rewrite_literal"], speech["prefix_rewrite"]) == ("openspeech.bytedance.com", "/api/v3/sauc")
    chat = table["/bytedance/", "passthrough.bytedance"]
    assert (chat["cluster"], chat["host_rewrite_literal"]) == ("provider/bytedance", "ark.cn-beijing.volces.com")


def test_the_bootstrap_is_filled_in_from_the_configuration(tmp_path: Path) -> None:
    files = rendered(tmp_path, MODELS, port=1234)
    listener = files["envoy"]["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1234}
    assert listener["per_connection_buffer_limit_bytes"] == 1024 * 1024
    assert files["envoy"]["admin"]["address"]["socket_address"]["port_value"] == 9901
    text = (tmp_path / "state" / "envoy" / "envoy.yaml").read_text()
    for path in ("envoy/clusters.yaml", "envoy/routes.yaml", "access.jsonl"):
        assert str(tmp_path / "state" / path) in text


def test_the_same_configuration_renders_the_same_bytes_and_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "envoy"
    rendered(tmp_path, MODELS)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    rendered(tmp_path, MODELS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert first.keys() == {"envoy.yaml", "clusters.yaml", "routes.yaml"}
    assert not [name for name, content in first.items() if b"sk-never-rendered" in content]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line"),
        ("[]", "listener `gateway`"),
        ("static_resources: {listeners: [{name: x}]}", "listener `gateway`"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_named(tmp_path: Path, text: str, said: str) -> None:
    template = tmp_path / "mine.yaml"
    template.write_text(text)
    with pytest.raises(ConfigError) as error:
        rendered(tmp_path, template=template)
    assert "mine.yaml" in str(error.value)
    assert said in str(error.value) or ":1:" in str(error.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot read it"):
        rendered(tmp_path, template=tmp_path / "gone.yaml")
