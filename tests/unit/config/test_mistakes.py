"""Every mistake is one line that says where it is; the offending line of each text is marked `# <-`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.config import Config, ModelConfig, load
from processor.endpoints import ENDPOINTS
from processor.errors import ConfigError
from tests.unit.config.conftest import KNOWN

Refuse = Callable[..., ConfigError]
Load = Callable[..., Config]
DIGEST = "0123456789abcdef" * 4

MODEL = """\
demo: true
models:
  chat-fast:{model}
    targets:{targets}
      - {{provider: demo, model: one}}
      - {{provider: demo, model: two{second}}}{mark}
    retry: {{attempts: {attempts}}}{retry_mark}
"""


def model(**changes: str) -> str:
    plain = {"model": "", "targets": "", "second": "", "mark": "", "attempts": "1", "retry_mark": ""}
    return MODEL.format(**plain | changes)


MISTAKES = {
    "unknown section": ("workers: 1\nprovider: {}  # <-", "provider", "unknown key, did you mean providers?"),
    "unknown key, near": (
        "listen:\n  adress: 0.0.0.0  # <-",
        "listen.adress",
        "unknown key, did you mean address?",
    ),
    "unknown key, near none": ("listen:\n  qqq: 1  # <-", "listen.qqq", "unknown key; known here: address, port"),
    "a later feature": (
        "models:\n  m:\n    mirror: {}  # <-\n    targets: []",
        "models.m.mirror",
        "unknown key; known here: " + ", ".join(ModelConfig.__struct_fields__[1:]),
    ),
    "a mode that is none": (
        model(model="\n    cache: {mode: near}  # <-"),
        "models.chat-fast.cache.mode",
        'expected exact, got "near"',
    ),
    "wrong type": (
        model(second=", weight: three", mark="  # <-"),
        "models.chat-fast.targets[1].weight",
        'expected int, got "three"',
    ),
    "value on its own line": ("workers:\n  many  # <-", "workers", 'expected int, got "many"'),
    "bool for int": ("workers: true  # <-", "workers", "expected int, got true"),
    "float for int": ("workers: 1.5  # <-", "workers", "expected int, got 1.5"),
    "text for int": ('workers: "2"  # <-', "workers", 'expected int, got "2"'),
    "octal": ("workers: 010  # <-", "workers", 'expected int, got "010"'),
    "sexagesimal": ("workers: 1:30  # <-", "workers", 'expected int, got "1:30"'),
    "int for str": (
        model(second=", provider: 4", mark="  # <-").replace("{provider: demo, model: two", "{model: two"),
        "models.chat-fast.targets[1].provider",
        "expected str, got 4: put it in quotes",
    ),
    "str for bool": ("demo: maybe  # <-", "demo", 'expected bool, got "maybe"'),
    "list for mapping": ("listen: [1]  # <-", "listen", "expected a mapping, got a list"),
    "text for mapping": ("models: chat  # <-", "models", 'expected a mapping, got "chat"'),
    "mapping for list": ("keys: {name: a}  # <-", "keys", "expected a list, got a mapping"),
    "nothing for a value": ("workers:  # <-", "workers", "expected int, got nothing"),
    "text for the file": ("just words  # <-", "", 'expected a mapping, got "just words"'),
    "list for the file": ("- a  # <-", "", "expected a mapping, got a list"),
    "too low": ("workers: 0  # <-", "workers", "expected int >= 1, got 0"),
    "too high": ("listen: {port: 65536}  # <-", "listen.port", "expected int <= 65535, got 65536"),
    "no such word": ("usage: {sink: csv}  # <-", "usage.sink", 'expected sqlite or jsonl, got "csv"'),
    "host name": (
        "listen: {address: localhost}  # <-",
        "listen.address",
        'expected an IP address such as 127.0.0.1 or 0.0.0.0, got "localhost"',
    ),
    "duration without unit": ("drain: 30  # <-", "drain", "expected a duration such as 8s, 500ms or 2m, got 30"),
    "negative duration": ("drain: -1s  # <-", "drain", 'expected a duration such as 8s, 500ms or 2m, got "-1s"'),
    "long duration": ("drain: 25h  # <-", "drain", 'expected a duration of at most 24h, got "25h"'),
    "no time at all": (
        model(attempts="1, ttft: 0s", retry_mark="  # <-"),
        "models.chat-fast.retry.ttft",
        'expected a duration of at least 1ms, got "0s"',
    ),
    "size in other units": (
        "body_limit: 32MB  # <-",
        "body_limit",
        'expected a size such as 32MiB, 512KiB or a number of bytes, got "32MB"',
    ),
    "no size": ("body_limit: 0  # <-", "body_limit", "expected a size from 1 byte to 1GiB, got 0"),
    "no share": (
        model(attempts="1, budget: 120%", retry_mark="  # <-"),
        "models.chat-fast.retry.budget",
        'expected a share from 0% to 100%, got "120%"',
    ),
    "no money": (
        "teams: {a: {budget: {usd_per_day: -1}}}  # <-",
        "teams.a.budget.usd_per_day",
        "expected an amount of money such as 20 or 0.05, got -1",
    ),
    "less than a millionth": (
        "teams: {a: {budget: {usd_per_day: 0.0000001}}}  # <-",
        "teams.a.budget.usd_per_day",
        "expected an amount of money such as 20 or 0.05, got 1e-07",
    ),
    "no date": (
        f"keys:\n- {{name: a, sha256: '{'0' * 64}', expires: soon}}  # <-",
        "keys[0].expires",
        "expected a date such as 2027-01-31, or 2027-01-31T12:00:00Z, got a text",
    ),
    "a number for a tag": (
        f"keys:\n- {{name: a, sha256: '{'0' * 64}', tags: {{floor: 3}}}}  # <-",
        "keys[0].tags",
        "expected a mapping of texts; put numbers in quotes",
    ),
    "a strange Redis": (
        "redis: {url: http://127.0.0.1}  # <-",
        "redis.url",
        "expected a URL such as redis://:${REDIS_PASSWORD}@host:6379/0, rediss://… or unix:///path",
    ),
    "a Redis whose database has a name": (
        "redis: {url: redis://127.0.0.1/limits}  # <-",
        "redis.url",
        "a Redis URL's path is the number of a database, such as /0",
    ),
    "a wait of the Redis client's": (
        'redis: {url: "redis://127.0.0.1/0?socket_timeout=90"}  # <-',
        "redis.url",
        "the query of a redis:// URL takes only db",
    ),
    "certificates without TLS": (
        'redis: {url: "unix:///run/redis?db=2&ssl_ca_certs=/ca.pem"}  # <-',
        "redis.url",
        "the query of a unix:// URL takes only db",
    ),
    "a TLS option that says nothing": (
        'redis: {url: "rediss://127.0.0.1/0?ssl_cert_reqs=maybe"}  # <-',
        "redis.url",
        "ssl_cert_reqs in the query of a Redis URL cannot be that",
    ),
    "limits of each worker": (
        "workers: 2  # <-\nteams: {a: {limits: {rpm: 1}}}",
        "workers",
        "each worker would count for itself: with limits or budgets more than one needs `redis`",
    ),
    "missing variable": (
        "providers:\n  deepseek: {api_key: ${NOT_THERE}}  # <-",
        "providers.deepseek.api_key",
        "the environment variable NOT_THERE is not set",
    ),
    "empty variable": (
        "listen: {address: ${EMPTY}}  # <-",
        "listen.address",
        "the environment variable EMPTY is empty",
    ),
    "malformed reference": (
        "listen: {address: ${1 + 1}}  # <-",
        "listen.address",
        "a reference is written ${NAME} or ${NAME:-default}, a plain dollar and brace $${",
    ),
    "unclosed reference": (
        "listen:\n  address: ${KEY  # <-",
        "listen.address",
        "a reference is written ${NAME} or ${NAME:-default}, a plain dollar and brace $${",
    ),
    "reference as key": ("listen:\n  ${KEY}: 1  # <-", "listen", "a key is a plain name, without references"),
    "mapping as key": ("listen:\n  {a: b}: 1  # <-", "listen", "a key is a plain name, without references"),
    "duplicate key": ("workers: 1\ndemo: true\nworkers: 2  # <-", "workers", "this key stands here twice"),
    "duplicate model": (
        "models:\n  m: {targets: [{provider: demo, model: a}]}\n  m: {}  # <-\ndemo: true",
        "models.m",
        "this key stands here twice",
    ),
    "duplicate key name": (
        f"keys:\n  - {{name: a, sha256: {DIGEST}}}\n  - {{name: a, sha256: {DIGEST[::-1]}}}  # <-",
        "keys[1].name",
        "another key has this name",
    ),
    "the same key twice": (
        f"keys:\n  - {{name: a, sha256: {DIGEST}}}\n  - name: b\n    sha256: {DIGEST}  # <-",
        "keys[1].sha256",
        "the same key as a's",
    ),
    "provider under two names": (
        "providers:\n  silliconflow: {api_key: ${KEY}}\n  siliconflow: {api_key: ${KEY}}  # <-",
        "providers.siliconflow",
        "another name for silliconflow, which stands here already",
    ),
    "short hash": (
        "keys:\n  - name: a\n    sha256: abc  # <-",
        "keys[0].sha256",
        "expected a SHA-256 in 64 hex digits, in quotes if they are all decimal, got a text",
    ),
    "decimal hash": (
        f"keys:\n  - name: a\n    sha256: {'12345678' * 8}  # <-",
        "keys[0].sha256",
        "expected a SHA-256 in 64 hex digits, in quotes if they are all decimal, got a number",
    ),
    "no hash": ("keys:\n  - name: a  # <-", "keys[0]", "sha256 is missing"),
    "misspelt hash": (
        f"keys:\n  - name: a\n    sha265: {DIGEST}  # <-",
        "keys[0].sha265",
        "unknown key, did you mean sha256?",
    ),
    "no models for a key": (
        f"keys:\n  - name: a\n    sha256: {DIGEST}\n    models: []  # <-",
        "keys[0].models",
        "expected at least 1 here, got an empty list",
    ),
    "unknown provider in a target": (
        model(second=", provider: deepsek", mark="  # <-").replace("{provider: demo, model: two", "{model: two"),
        "models.chat-fast.targets[1].provider",
        "there is no provider of this name, did you mean deepseek?",
    ),
    "target without entry or variable": (
        "models:\n  m:\n    targets:\n      - model: kimi\n        provider: moonshot  # <-",
        "models.m.targets[0].provider",
        "moonshot has no key: set MOONSHOT_API_KEY or KIMI_API_KEY, or add it under providers",
    ),
    "target without entry, no variable": (
        "models: {m: {targets: [{provider: tencent, model: hy}]}}  # <-",
        "models.m.targets[0].provider",
        "tencent has no key: add it under providers",
    ),
    "entry that gives nothing": (
        "providers:\n  deepseek:  # <-",
        "providers.deepseek",
        "deepseek has no key: set DEEPSEEK_API_KEY, or give it an api_key",
    ),
    "demo is off": (
        "models: {m: {targets: [{provider: demo, model: a}]}}  # <-",
        "models.m.targets[0].provider",
        "the demo vendor is off: switch it on with `demo: true`",
    ),
    "demo as an entry": (
        "providers:\n  demo: {dialect: openai, base_url: 'http://h'}  # <-",
        "providers.demo",
        "the demo vendor takes no entry: switch it on with `demo: true`",
    ),
    "no targets": ("models:\n  m: {strategy: failover}  # <-", "models.m", "targets is missing"),
    "empty targets": (
        "models:\n  m:\n    targets: []  # <-",
        "models.m.targets",
        "expected at least 1 here, got an empty list",
    ),
    "target without model": (
        "demo: true\nmodels:\n  m:\n    targets:\n      - provider: demo  # <-",
        "models.m.targets[0]",
        "model is missing",
    ),
    "no attempts": (
        model(attempts="0", retry_mark="  # <-"),
        "models.chat-fast.retry.attempts",
        "expected int >= 1, got 0",
    ),
    "negative weight": (
        model(second=", weight: -1", mark="  # <-"),
        "models.chat-fast.targets[1].weight",
        "expected int >= 0, got -1",
    ),
    "no weight at all": (
        model(second=", weight: 0", targets="  # <-").replace("model: one", "model: one, weight: 0"),
        "models.chat-fast.targets",
        "every weight is 0: one at least must be more",
    ),
    "no such strategy": (
        model(model="\n    strategy: random  # <-"),
        "models.chat-fast.strategy",
        'expected weighted or failover or least_busy or latency, got "random"',
    ),
    "model name with a space": (
        "demo: true\nmodels:\n  a b: {targets: [{provider: demo, model: a}]}  # <-",
        'models."a b"',
        "a model's name stands in headers: use 1 to 256 visible ASCII characters without spaces",
    ),
    "target model with a line in it": (
        'demo: true\nmodels:\n  m: {targets: [{provider: demo, model: "a\\r\\nx: y"}]}  # <-',
        "models.m.targets[0].model",
        'expected a name of 1 to 256 visible ASCII characters without spaces, got "a\\r\\nx: y"',
    ),
    "unknown provider": (
        "providers:\n  deepsek: {api_key: ${KEY}}  # <-",
        "providers.deepsek",
        "not a known provider, did you mean deepseek? a self-hosted one needs `dialect: openai` and a base_url",
    ),
    "self-hosted nowhere": (
        "providers:\n  house: {dialect: openai}  # <-",
        "providers.house",
        "base_url is missing: a self-hosted provider needs one",
    ),
    "unknown dialect": (
        "providers:\n  house: {dialect: klingon, base_url: 'http://h'}  # <-",
        "providers.house.dialect",
        "there is no dialect of this name here; known: openai",
    ),
    "dialect of another provider": (
        "providers:\n  ali:\n    api_key: ${KEY}\n    dialect: openai  # <-",
        "providers.ali.dialect",
        "there is no dialect of this name here; known: dashscope",
    ),
    "no host of one's own": (
        "providers:\n  azure: {api_key: ${KEY}}  # <-",
        "providers.azure",
        "base_url is missing: every account of azure has a host of its own",
    ),
    "a target without a host": (
        "models:\n  m:\n    targets:\n    - {provider: azure, model: gpt}  # <-",
        "models.m.targets[0].provider",
        "azure needs an entry under providers, with a base_url",
    ),
    "dialect of a known provider": (
        "providers:\n  deepseek:\n    api_key: ${KEY}\n    dialect: openai  # <-",
        "providers.deepseek.dialect",
        "deepseek is a known provider: its dialect is known too",
    ),
    "no keys in a list": (
        "providers:\n  deepseek: {api_key: []}  # <-",
        "providers.deepseek.api_key",
        "expected at least 1 here, got an empty list",
    ),
    "name unfit for a URL": (
        "providers:\n  my/house: {dialect: openai, base_url: 'http://h'}  # <-",
        "providers.my/house",
        "a provider's name stands in URLs: use letters, digits, dots, _ and -",
    ),
    "alias": ("listen: &l {port: 1}  # <-\nadmin: *l", "", "anchors, aliases and tags (&, *, !) are not taken"),
    "tag": ("workers: !!python/name:os.system 1  # <-", "", "anchors, aliases and tags (&, *, !) are not taken"),
    "depth": ("workers: " + "[" * 100_000 + "  # <-", "", "nested deeper than 16 levels"),
    "bad character": ("workers: 1\ndemo: \x01  # <-", "", "not YAML: the character '\\x01'"),
    "reserved character": ("workers: \ue0000\ue001  # <-", "", "not YAML: the character '\\ue000'"),
    "unclosed bracket": ("listen: {port: 1  # <-", "", "not YAML: while parsing a flow mapping did not find"),
    "tab": ("listen:\n\tport: 1  # <-", "", "not YAML: while scanning for the next token found character"),
    "colon": ("listen: a: b  # <-", "", "not YAML: mapping values are not allowed in this context"),
    "two documents": (
        "workers: 1\n---\nworkers: 2  # <-".replace("\n---", "\n---  # <-").replace("2  # <-", "2"),
        "",
        "not YAML: expected a single document in the stream but found another document",
    ),
}


@pytest.mark.parametrize(("text", "path", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_line_and_path(refuse: Refuse, text: str, path: str, message: str) -> None:
    (line,) = (number for number, row in enumerate(text.split("\n"), 1) if "# <-" in row)

    error = refuse(text)

    assert (error.line, error.path) == (line, path)
    if path or message.startswith("expected"):
        assert error.message == message
    else:
        assert error.message.startswith(message)


def test_the_line_reads_as_editors_expect_it(load_text: Load, tmp_path: Path, refuse: Refuse) -> None:
    assert str(refuse("demo: true\nworkers: few")) == f'{tmp_path}/gateway.yaml:2: workers: expected int, got "few"'


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host", "expected a URL that begins with http:// or https://, got a text"),
        ("host:8000", "expected a URL that begins with http:// or https://, got a text"),
        ("http://", "expected a URL with a host, such as https://host:8443/v1, got a text"),
        ("http://:80/", "expected a URL with a host, such as https://host:8443/v1, got a text"),
        ("http://ho st/", "expected a URL with a host, such as https://host:8443/v1, got a text"),
        ("http://h:0", "expected a URL such as https://host:8443/v1, got a text"),
        ("http://h:65536", "expected a URL such as https://host:8443/v1, got a text"),
        ("http://[::1", "expected a URL such as https://host:8443/v1, got a text"),
        ("http://h/a b", "expected a URL such as https://host:8443/v1, got a text"),
        ("http://h/v1?key=1", "a base URL takes no query or fragment"),
        ("http://h/v1?", "a base URL takes no query or fragment"),
        ("http://h/#x", "a base URL takes no query or fragment"),
        ("http://me:secret@h/", "a base URL takes no user or password: that is what api_key is for"),
        ("http://@h/", "a base URL takes no user or password: that is what api_key is for"),
    ],
)
def test_a_bad_url_is_refused(refuse: Refuse, url: str, message: str) -> None:
    error = refuse(f"providers:\n  house:\n    dialect: openai\n    base_url: '{url}'")

    assert (error.line, error.path, error.message) == (4, "providers.house.base_url", message)


@pytest.mark.parametrize(
    "name", sorted({"v1", "healthz", "completions", "files"} | {e.path.split("/")[1] for e in ENDPOINTS})
)
def test_a_provider_cannot_hide_a_path_of_the_gateway(refuse: Refuse, name: str) -> None:
    error = refuse(f"providers:\n  {name}: {{dialect: openai, base_url: 'http://h'}}")

    assert error.path == f"providers.{name}"
    assert error.message == "this name is reserved: the gateway's own paths begin with it"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read it: No such file or directory$"):
        load(tmp_path / "none.yaml", known=KNOWN, environ={})


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"gateway\.yaml: not UTF-8 text$"):
        load(tmp_path / "gateway.yaml", known=KNOWN, environ={})


PLANTED = (
    "workers: few",
    "drain: 30",
    "listen: {prot: 1}",
    "usage: {sink: csv}",
    "providers: {deepseek: {api_key: '${MISSING}'}}",
    "models: {m: {targets: [{provider: nobody, model: a}]}}",
    "keys: [{name: a, sha256: x}]",
    "body_limit: big",
    "surprise: 1",
)


@given(st.lists(st.sampled_from(PLANTED), min_size=1, unique=True))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_several_mistakes_the_first_in_the_file_is_told(refuse: Refuse, rows: list[str]) -> None:
    error = refuse("demo: true\n" + "\n".join(rows))

    assert error.line == 2
    assert error.path.split(".")[0].split("[")[0] == rows[0].partition(":")[0]


@pytest.mark.parametrize("entry", ["3", "{dialect: 3, base_url: 'http://h'}"])
def test_a_target_of_a_broken_entry_is_not_blamed(refuse: Refuse, entry: str) -> None:
    error = refuse(f"models:\n  m: {{targets: [{{provider: house, model: a}}]}}\nproviders:\n  house: {entry}")

    assert (error.line, error.path.removesuffix(".dialect")) == (4, "providers.house")


NAMES = ("listen", "providers", "models", "keys", "targets", "deepseek", "api_key", "name", "sha256", "weight")
SIGNS = (*"{}[],:'\"#|>?%@~=", "---", "<<", "*a", "&a", "!x", "${KEY}", "${", "$${", "1", "1.5", "on", "é")
SPACES = (": ", "- ", " ", " #", "\n", "\n  ", "\n    ", "\t", "\u2028", "\x00")
WORDS = st.sampled_from((*NAMES, *SIGNS, *SPACES))


@given(st.lists(WORDS, max_size=30).map("".join))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_configuration_or_one_line(load_text: Load, text: str) -> None:
    problem = ConfigError("none", line=1)
    try:
        assert isinstance(load_text(text), Config)
    except ConfigError as error:
        problem = error

    assert len(str(problem).splitlines()) == 1
    assert "sk-from-environment" not in str(problem)
    assert 1 <= problem.line <= len(text.splitlines()) + 1
