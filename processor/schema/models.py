"""The answers of `/models`."""

from __future__ import annotations

from collections.abc import Iterable

from processor.wire.json import JSON, encode


def models_body(names: Iterable[str]) -> bytes:
    """`{"object":"list","data":[…]}` as GET /v1/models answers."""
    return encode({"object": "list", "data": [_model(name) for name in names]})


def model_body(name: str) -> bytes:
    """One model, as GET /v1/models/{name} answers."""
    return encode(_model(name))


def _model(name: str) -> JSON:
    owner, slash, _ = name.partition("/")
    return {"id": name, "object": "model", "created": 0, "owned_by": owner if slash else "gateway"}
