"""How a text in the file becomes a value: durations, sizes, URLs, addresses, hashes, secrets. Each in one place."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from processor.config.source import Reference

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_LONGEST = 24 * 3600.0
"""Seconds; whoever waits for a model longer than a day has mistyped a unit."""
_BYTES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"([0-9]{1,12}) ?(KiB|MiB|GiB|)")
_LARGEST = 1024**3
"""Bytes; a body is held in memory while it is translated."""
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")
_MONEY = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_TAGS = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[\x21-\x7e]{1,256}")
"""Names of models stand in headers and paths."""
_LABEL_CHARACTERS = 256
_URL_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_URL_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_DATABASE = re.compile(r"/?[0-9]{0,5}")
_REDIS_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "redis": {"db": "[0-9]{1,5}"},
    "unix": {"db": "[0-9]{1,5}"},
    "rediss": {
        "db": "[0-9]{1,5}",
        "ssl_ca_certs": ".+",
        "ssl_certfile": ".+",
        "ssl_keyfile": ".+",
        "ssl_cert_reqs": "none|optional|required",
        "ssl_check_hostname": "true|false",
    },
}
"""What a URL's query may say, by its scheme. The client would take more, some of it before the waits that are set for
it, and finds out about what it does not know with the first command."""
_FILE = "file:"
_SECRET_BYTES = 64 * 1024
"""Read of a secret's file: more than any vendor's key, less than a file named by mistake."""


class Expected(ValueError):
    """What a value should have been; what it was is added by whoever may show it."""


@dataclass(frozen=True, slots=True)
class Written:
    """How the value at hand was written."""

    reference: Reference | None
    folder: Path
    """The configuration's own: relative paths count from it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Stands in a field's annotation and reads its values; raises ValueError, or Expected, in words for an operator."""

    read: Callable[[object, Written], object]


def duration(value: object, _: Written) -> float:
    """`8s`, `500ms`, `1.5m`, `2h` in seconds; may be zero."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Expected("expected a duration such as 8s, 500ms or 2m")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise Expected("expected a duration of at most 24h")
    return seconds


def wait(value: object, written: Written) -> float:
    """A duration in seconds that is not zero."""
    seconds = duration(value, written)
    # Envoy counts in milliseconds, and takes zero for "no limit".
    if seconds < 0.001:
        raise Expected("expected a duration of at least 1ms")
    return seconds


def share(value: object, _: Written) -> float:
    """`20%` as a fraction: 0.2."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or (percent := float(match[1])) > 100:
        raise Expected("expected a share from 0% to 100%")
    return percent / 100


def money(value: object, _: Written) -> Decimal:
    """An amount of money, exactly as it is written, down to millionths."""
    match = _MONEY.fullmatch(str(value)) if isinstance(value, str | int | float) and value is not True else None
    if match is None or value is False:
        raise Expected("expected an amount of money such as 20 or 0.05")
    return Decimal(match[0])


def rates(value: object, written: Written) -> object:
    """Amounts of dollars by the letters of a currency."""
    if not isinstance(value, dict) or not all(_CURRENCY.fullmatch(str(name)) for name in value):
        raise ValueError("expected the worth of currencies in US dollars, such as {CNY: 0.14}")
    found = {name: money(amount, written) for name, amount in value.items()}
    if not all(found.values()):
        raise ValueError("no currency is worth nothing")
    return found


def moment(value: object, _: Written) -> float:
    """`2027-01-31` (its first second, UTC) or `2027-01-31T12:00:00Z` in seconds since the epoch."""
    try:
        when = datetime.fromisoformat(value if isinstance(value, str) else "")
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise Expected("expected a date such as 2027-01-31, or 2027-01-31T12:00:00Z") from None


def tags(value: object, _: Written) -> object:
    """A mapping of short texts."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise ValueError("expected a mapping of texts; put numbers in quotes")
    if len(value) > _TAGS or any(len(text) > _LABEL_CHARACTERS for pair in value.items() for text in pair):
        raise ValueError(f"expected at most {_TAGS} tags of at most {_LABEL_CHARACTERS} characters")
    return value


def redis_url(value: object, _: Written) -> str:
    """`redis://host:6379/0`, `rediss://…` or `unix:///path`; never shown, since it may hold a password."""
    text = value if isinstance(value, str) else ""
    if not _names_a_redis(text):
        raise ValueError("expected a URL such as redis://:${REDIS_PASSWORD}@host:6379/0, rediss://… or unix:///path")
    parts = urlsplit(text)
    options = _REDIS_OPTIONS[parts.scheme]
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        raise ValueError("a Redis URL's path is the number of a database, such as /0")
    for name, said in parse_qsl(parts.query, keep_blank_values=True):
        if name not in options:
            raise ValueError(f"the query of a {parts.scheme}:// URL takes only {', '.join(options)}")
        if not re.fullmatch(options[name], said):
            raise ValueError(f"{name} in the query of a Redis URL cannot be that")
    return text


def _names_a_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    return parts.scheme in _REDIS_OPTIONS and bool(parts.hostname) and port != 0


def size(value: object, _: Written) -> int:
    """`32MiB`, `512KiB` or a plain number, in bytes."""
    match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        raise Expected("expected a size such as 32MiB, 512KiB or a number of bytes")
    count = int(match[1]) * _BYTES[match[2]]
    if not 1 <= count <= _LARGEST:
        raise Expected("expected a size from 1 byte to 1GiB")
    return count


def address(value: object, _: Written) -> str:
    """An IP address; Envoy does not look up the name of a place to listen."""
    try:
        return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        raise Expected("expected an IP address such as 127.0.0.1 or 0.0.0.0") from None


def sha256(value: object, _: Written) -> str:
    """A SHA-256 in hex, in lower case."""
    digest = value.lower() if isinstance(value, str) else ""
    if not _SHA256.fullmatch(digest):
        raise Expected("expected a SHA-256 in 64 hex digits, in quotes if they are all decimal")
    return digest


def name(value: object, _: Written) -> object:
    """A model's name."""
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise Expected("expected a name of 1 to 256 visible ASCII characters without spaces")
    return value


def label(value: object, _: Written) -> object:
    """A name for people to read."""
    if isinstance(value, str) and not (value.isprintable() and 1 <= len(value.strip()) <= _LABEL_CHARACTERS):
        raise Expected("expected a name of 1 to 256 printable characters")
    return value


def base_url(value: object, _: Written) -> object:
    """An http or https URL without query, without its trailing slash."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise Expected("expected a URL such as https://host:8443/v1") from None
    if parts.scheme not in ("http", "https"):
        raise Expected("expected a URL that begins with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("a base URL takes no user or password: that is what api_key is for")
    if "?" in value or "#" in value:
        raise ValueError("a base URL takes no query or fragment")
    if not parts.hostname or not _URL_HOST.fullmatch(parts.hostname):
        raise Expected("expected a URL with a host, such as https://host:8443/v1")
    if port == 0 or not _URL_PATH.fullmatch(parts.path) or not value.isprintable():
        raise Expected("expected a URL such as https://host:8443/v1")
    return value.rstrip("/")


def file_path(value: object, written: Written) -> object:
    """A path, made absolute from the configuration's folder. Whoever uses the file opens it, elsewhere perhaps."""
    if not isinstance(value, str):
        return value
    if not value or not value.isprintable():
        raise Expected("expected a path")
    return str((written.folder / value).absolute())


def secret(value: object, written: Written) -> str:
    """A `${NAME}` or `file:` reference's content; a secret itself is never written in the file."""
    text, reference = value if isinstance(value, str) else "", written.reference
    start = text if reference is None else reference.start
    if start.startswith(_FILE):
        return header_safe(_content(written.folder / text.removeprefix(_FILE)), "the file's content")
    if reference is None:
        raise ValueError("never inline: write ${NAME} for an environment variable, or file:/path")
    if reference.defaulted or any(character.isalnum() for character in reference.literal):
        raise ValueError("never inline: nothing but signs may stand beside ${NAME}, and no default in it")
    variables = " and ".join(dict.fromkeys(reference.names))
    return header_safe(text, f"the environment variable {variables}")


def header_safe(text: str, what: str) -> str:
    """A secret as it goes into a header.

    Raises:
        ValueError: naming `what` it came from, never the secret.
    """
    text = text.strip()
    if not text:
        raise ValueError(f"{what} is empty")
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{what} holds characters that no header can carry")
    return text


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_SECRET_BYTES + 1)
        if len(content) > _SECRET_BYTES:
            raise ValueError(f"cannot read {path}: over the limit of {_SECRET_BYTES} bytes")
        return content.decode()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"cannot read {path}: not UTF-8 text") from None
