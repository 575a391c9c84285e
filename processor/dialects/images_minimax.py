"""MiniMax's list of pictures: `data` is an object with `image_urls`, or with `image_base64`."""

from __future__ import annotations

from typing import Any

from processor.dialects.images import Entries
from processor.wire.json import JSON


def minimax_pictures(answer: JSON) -> tuple[Entries, list[JSON]]:
    """Read an answer; of pictures that failed only the number is told."""
    data = answer.get("data")
    if not isinstance(data, dict):
        return [], []
    urls = [{"url": url} for url in _texts(data.get("image_urls"))]
    return urls or [{"b64_json": found} for found in _texts(data.get("image_base64"))], []


def _texts(value: Any) -> list[str]:
    return [found for found in value if isinstance(found, str) and found] if isinstance(value, list) else []
