"""Where Google's APIs keep a model's methods."""

from __future__ import annotations

from urllib.parse import quote

MODELS_PATH = "/v1beta/models/"


def method_path(path: str, model: str, method: str) -> str:
    """A method of a model below `path`; the model may be named as Google lists it, `models/…`."""
    return f"{path}{quote(model.removeprefix('models/'), safe='')}:{method}"
