from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from processor.adapters import jsonl_usage, sqlite_usage
from processor.cli import usage
from processor.domain import Mode, Operation, Usage, UsageRecord, UsageSource
from processor.errors import ConfigError
from processor.ports import Checkpoint

NOW = time.time()


def record(request_id: str, *, age: float = 0.0, model: str = "chat-fast") -> UsageRecord:
    return UsageRecord(
        request_id=request_id,
        time=NOW - age,
        mode=Mode.OPENAI,
        operation=Operation.CHAT,
        request_model=model,
        provider="deepseek",
        key="team-a",
        status=200,
        usage=Usage(input_tokens=1200, output_tokens=300),
        usage_source=UsageSource.PROVIDER,
        ttft_ms=250.0,
    )


def keep_in_sqlite(state: Path, *records: UsageRecord) -> None:
    sink = sqlite_usage.SqliteUsageSink(state / "usage.db")
    sink.write(records, Checkpoint())
    sink.close()


def keep_in_jsonl(state: Path, *records: UsageRecord) -> None:
    jsonl_usage.JsonlUsageSink(state / "usage.jsonl").write(records, Checkpoint())


def run(state: Path, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    usage.add_arguments(parser)
    return usage.run(parser.parse_args([*arguments, "--state", str(state)]))


@pytest.mark.parametrize("keep", [keep_in_sqlite, keep_in_jsonl])
def test_it_prints_a_line_for_each_model_from_whichever_sink_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: Callable[..., None]
) -> None:
    keep(tmp_path, record("a"), record("b", model="chat-slow"))
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "chat-fast", "chat-slow", "total"]
    assert lines[1].split()[1:] == ["1", "0", "1,200", "0", "300", "0", "0.0%", "250", "ms"]


def test_only_what_is_recent_enough_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_in_sqlite(tmp_path, record("new", age=3000), record("old", age=90000))
    totals = []
    for since in ("1h", "61m", "2d", "2020-01-01", "2020-01-01T12:30"):
        assert run(tmp_path, "--since", since, "--json") == 0
        totals.append(json.loads(capsys.readouterr().out)["total"]["requests"])
    assert totals == [1, 1, 2, 2, 2]


def test_a_day_is_the_local_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_in_sqlite(tmp_path, record("a"))
    assert run(tmp_path, "--by", "day") == 0
    assert time.strftime("%Y-%m-%d", time.localtime(NOW)) in capsys.readouterr().out


def test_after_the_sink_was_changed_the_newer_one_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_in_sqlite(tmp_path, record("a"))
    keep_in_jsonl(tmp_path, record("b"), record("c"))
    for stale, requests in (("usage.db", 2), ("usage.jsonl", 1)):
        os.utime(tmp_path / stale, (1, 1))
        os.utime(tmp_path / {"usage.db": "usage.jsonl", "usage.jsonl": "usage.db"}[stale])
        assert run(tmp_path, "--json") == 0
        assert json.loads(capsys.readouterr().out)["total"]["requests"] == requests


@pytest.mark.parametrize("keep", [keep_in_sqlite, keep_in_jsonl])
def test_a_file_elsewhere_is_read_whatever_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: Callable[..., None]
) -> None:
    keep(tmp_path, record("a"))
    elsewhere = next(tmp_path.glob("usage.*[bl]")).rename(tmp_path / "records")
    assert run(tmp_path / "nowhere", "--file", str(elsewhere), "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"]["requests"] == 1


def test_a_file_that_is_not_there_is_a_mistake_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="records: cannot read usage records from it: No such file"):
        run(tmp_path, "--file", str(tmp_path / "records"))


def test_without_a_request_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_in_sqlite(tmp_path)
    assert run(tmp_path) == 0
    assert capsys.readouterr().out == "No request was recorded yet.\n"
    assert run(tmp_path, "--since", "2024-02-01") == 0
    assert capsys.readouterr().out == "No request was recorded since 2024-02-01 00:00.\n"


def test_a_folder_without_records_is_a_mistake_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        run(tmp_path / "nowhere")
    assert told.value.exit_code == 2
    assert (
        str(told.value) == f"{tmp_path}/nowhere: no usage has been recorded there; is it the gateway's --state folder?"
    )
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "arguments", [("--since", "yesterday"), ("--since", "24"), ("--by", "colour"), ("--since", "9" * 400 + "d")]
)
def test_an_argument_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as left:
        run(tmp_path, *arguments)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err
