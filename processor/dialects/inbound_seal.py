"""What a client has to carry for a vendor, as the opaque text that its own dialect has a place for.

It is written out, not encrypted: nothing in it is secret from the client that was told it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any

from processor.errors import MalformedRequest
from processor.wire.json import JSONError, decode, encode

_MARK = "gw1:"
"""What tells the gateway's own from a vendor's."""


def sealed(value: object) -> str:
    """A JSON value as such a text."""
    return _MARK + b64encode(encode(value)).decode()


def is_sealed(text: str) -> bool:
    """Whether a text is the gateway's own."""
    return text.startswith(_MARK)


def unsealed(text: str, *, param: str) -> Any:
    """The value of a text that is the gateway's own.

    Raises:
        MalformedRequest: it was changed.
    """
    try:
        return decode(b64decode(text[len(_MARK) :], validate=True))
    except (binascii.Error, *JSONError):
        raise changed(param) from None


def changed(param: str) -> MalformedRequest:
    """The refusal of a text that is not as the gateway wrote it."""
    return MalformedRequest(f"`{param}` is not as the gateway wrote it.", param=param)
