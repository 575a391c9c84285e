"""Watches a passthrough request for its model, and for the size of its text."""

from __future__ import annotations

import re

import msgspec

from processor.wire.json import JSONError

_LIMIT = 4 * 1024 * 1024
"""Bytes of a request that are looked at: text is shorter, and images are not worth the memory."""

_DATA = re.compile(rb'"(?:data:[^",]{0,100},)?(?:[A-Za-z0-9+/=_-]|\\[/nr]){512}')
"""The beginning of a string in base64, with the slashes and line ends that some writers escape. Text has others."""

_ESCAPED = 3
"""Bytes by which `\\u4f60`, as many clients write Chinese, is longer than its character."""


class _Asked(msgspec.Struct):
    model: object = ""
    stream: object = False


class RequestObserver:
    """The model and the size of a JSON request."""

    def __init__(self) -> None:
        self.model = ""
        self.stream = False
        self.input_chars = 0
        """Bytes of text, which the input is estimated from: until the body has ended all bytes, from then on without
        images and other data in base64. Of a body over the limit, those before it.
        """
        self._body: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        if self._body is None:
            return
        self._body += chunk
        self.input_chars = len(self._body)
        if self.input_chars > _LIMIT:
            del self._body[_LIMIT:]
            self.input_chars = _text_size(self._body)
            self._body = None

    def close(self) -> None:
        """The body has ended."""
        body, self._body = self._body, None
        if body is None:
            return
        self.input_chars = _text_size(body)
        try:
            asked = msgspec.json.decode(body, type=_Asked)
        except JSONError:
            return
        self.model = asked.model if isinstance(asked.model, str) else ""
        self.stream = asked.stream is True


def _text_size(body: bytearray) -> int:
    size = len(body) - _ESCAPED * body.count(rb"\u")
    position = 0
    while found := _DATA.search(body, position):
        end = body.find(b'"', found.end())
        position = end if end >= 0 else len(body)
        size -= position - found.start()
    return size
