"""`keys`: make, list, revoke and rotate gateway keys."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from processor import app
from processor.adapters.key_desk import KeyDesk
from processor.adapters.redis_connection import connect
from processor.adapters.redis_keys import RedisKeys
from processor.cli.arguments import add_config, add_state, age, state_of
from processor.config import Config
from processor.errors import ConfigError, GatewayError
from processor.ports import StoreError

_LIMITS = ("rpm", "tpm", "concurrent", "tokens_per_day", "tokens_per_month")
_BUDGETS = ("usd_per_day", "usd_per_month")
_COLUMNS = ("name", "team", "models", "providers", "limits", "budget", "expires", "source", "sha256")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which key."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", required=True, help="stands in usage records")
    create.add_argument("--team", default="", help="whose limits it shares")
    create.add_argument("--models", metavar="A,B", type=_patterns, help="patterns (default: every model)")
    create.add_argument("--providers", metavar="A,B", type=_patterns, help="patterns (default: every provider)")
    for name in _LIMITS:
        create.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=int, dest=name)
    for name in _BUDGETS:
        create.add_argument(f"--{name.replace('_', '-')}", metavar="USD", dest=name)
    create.add_argument("--on-budget", choices=("refuse", "reroute"), default="refuse")
    create.add_argument("--expires", metavar="WHEN", type=_moment, help="such as 30d, or 2027-01-31")
    create.add_argument("--tag", metavar="K=V", action="append", default=[], type=_tag)
    listing = actions.add_parser("list", help="print every key, never the key itself")
    listing.add_argument("--json", action="store_true", help="print JSON")
    revoke = actions.add_parser("revoke", help="end a key, within a second")
    revoke.add_argument("name")
    rotate = actions.add_parser("rotate", help="make a new key for a name and print it, once")
    rotate.add_argument("name")
    rotate.add_argument("--grace", metavar="AGE", type=_grace, help="the old one works so long (24h)")
    for action in (create, listing, revoke, rotate):
        add_config(action)
        add_state(action)


def run(args: argparse.Namespace) -> int:
    """Do it.

    Raises:
        ConfigError: it cannot be done, in one line.
    """
    config = app.load(args.config, state_of(args)).config
    try:
        if args.action == "create" and config.redis is None:
            return _offer(args, config)
        return asyncio.run(_act(args, config))
    except GatewayError as error:
        raise ConfigError(error.message) from None
    except StoreError as error:
        raise ConfigError(f"{error}; is `redis.url` right?") from None


async def _act(args: argparse.Namespace, config: Config) -> int:
    redis = connect(config.redis) if config.redis else None
    made = RedisKeys(redis, config.redis.prefix) if redis and config.redis else None
    desk = KeyDesk(config.keys, made, time.time)
    try:
        await _ACTIONS[args.action](args, desk)
    finally:
        if redis:
            await redis.aclose()
    return 0


async def _create(args: argparse.Namespace, desk: KeyDesk) -> None:
    made = await desk.create(_fields(args))
    print(made["key"])


async def _list(args: argparse.Namespace, desk: KeyDesk) -> None:
    keys = await desk.all()
    print(json.dumps(keys, indent=2, ensure_ascii=False) if args.json else _table(keys))


async def _revoke(args: argparse.Namespace, desk: KeyDesk) -> None:
    await desk.revoke(args.name)
    print(f"{args.name} is revoked.")


async def _rotate(args: argparse.Namespace, desk: KeyDesk) -> None:
    wanted = {} if args.grace is None else {"grace_seconds": args.grace}
    print((await desk.rotate(args.name, wanted))["key"])


_ACTIONS = {"create": _create, "list": _list, "revoke": _revoke, "rotate": _rotate}


def _offer(args: argparse.Namespace, config: Config) -> int:
    """Without Redis: a key, and the line that makes it known."""
    secret, entry = KeyDesk(config.keys, None, time.time).draft(_fields(args))
    # JSON is YAML, but for what is a reference there.
    line = json.dumps(entry, ensure_ascii=False).replace("${", "$${")
    print(secret)
    print(f"Without `redis` it is known once this stands under `keys` in gateway.yaml:\n  - {line}")
    return 0


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    """As `gateway.yaml` has them; what was not said is left out."""
    budget = {name: value for name in _BUDGETS if (value := getattr(args, name)) is not None}
    said = {
        "name": args.name,
        "team": args.team,
        "models": args.models,
        "providers": args.providers,
        "limits": {name: value for name in _LIMITS if (value := getattr(args, name)) is not None},
        "budget": {**budget, "on_budget": args.on_budget} if budget else None,
        "expires": args.expires,
        "tags": dict(args.tag),
    }
    return {name: value for name, value in said.items() if value is not None}


def _table(keys: list[dict[str, Any]]) -> str:
    if not keys:
        return "There are no keys."
    columns = [name for name in _COLUMNS if any(name in key for key in keys)]
    rows = [columns, *([_cell(key.get(name, "")) for name in columns] for key in keys)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={part}" for key, part in value.items())
    if isinstance(value, list):
        return ",".join(value)
    return str(value)


def _patterns(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no tag: expected name=value")
    return name, value


def _grace(text: str) -> float:
    if (seconds := age(text)) is not None:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no age: expected one such as 24h or 30d")


def _moment(text: str) -> str:
    """An age from now on, or a date, as `gateway.yaml` has dates."""
    if (seconds := age(text)) is None:
        return text
    try:
        return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is later than any date") from None
