"""`explain`: who would answer a request, and why."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import socket
from pathlib import Path
from typing import Any

from processor import admin, app
from processor.cli.arguments import add_config, add_state, state_of
from processor.errors import ConfigError, GatewayError
from processor.state import State
from processor.worker import Worker

_TIMEOUT = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The request, and which gateway is asked."""
    parser.add_argument("--model", required=True, metavar="M", help="what a client would ask for")
    parser.add_argument("--key", default="", metavar="K", help="a gateway key's name (default: one that may use all)")
    parser.add_argument("--body", type=Path, metavar="FILE", help="the request's JSON: what it needs may decide")
    parser.add_argument("--path", default="/chat/completions", help="the endpoint (default: %(default)s)")
    parser.add_argument("--session", default="", metavar="ID", help="what stands in the header x-session-id")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    add_config(parser)
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the gateway that runs on the state folder, or work out what a fresh one would do."""
    inquiry = {"model": args.model, "key": args.key, "path": args.path, "session": args.session}
    if args.body:
        inquiry["body"] = _read(args.body)
    state = state_of(args)
    answer = _ask(state, inquiry)
    fresh = answer is None
    if answer is None:
        answer = _work_out(args.config, state, inquiry)
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(_table(answer))
        if fresh:
            print("No gateway runs on this state folder: this is what a fresh one would do.")
    return 0


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", file=str(path)) from None
    except ValueError as error:
        raise ConfigError(f"not JSON: {error}", file=str(path)) from None


def _ask(state: State, inquiry: dict[str, Any]) -> dict[str, Any] | None:
    """The running gateway's answer; None where none runs."""
    connection = http.client.HTTPConnection("worker", timeout=_TIMEOUT)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(_TIMEOUT)
        connection.sock.connect(str(state.admin_api_socket(0)))
        connection.request("POST", "/explain", json.dumps(inquiry).encode())
        answer = connection.getresponse()
        said: dict[str, Any] = json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if answer.status != 200:
        raise ConfigError(said["error"]["message"])
    return said


def _work_out(config: Path | None, state: State, inquiry: dict[str, Any]) -> dict[str, Any]:
    setup = app.load(config, state)
    try:
        return asyncio.run(_fresh(setup, json.dumps(inquiry).encode()))
    except GatewayError as error:
        raise ConfigError(error.message) from None


async def _fresh(setup: app.Setup, inquiry: bytes) -> dict[str, Any]:
    worker = Worker.of(setup.config, setup.topology)
    try:
        return await admin.explain(worker, inquiry)
    finally:
        await worker.close()


def _table(answer: dict[str, Any]) -> str:
    told = [f"at most {answer['attempts']} attempts"]
    if answer["needs"]:
        told.append(f"needs {' and '.join(answer['needs'])}")
    if answer["estimated_tokens"]:
        told.append(f"about {answer['estimated_tokens']} tokens")
    lines = [f"{answer['model']} for key {answer['key']}: {answer['strategy']}, {', '.join(told)}."]
    width = max(len(target["target"]) for target in answer["targets"])
    for target in answer["targets"]:
        place = f"{target['place']}." if target["place"] else "–"
        lines.append(f"{place:>3} {target['target']:{width}}  {target['reason']}")
    lines += [f"    {one['limit']}: {one['remaining']} of {one['amount']} left" for one in answer["limits"]]
    return "\n".join(lines)
