"""How vendors write the size of a picture: OpenAI's `1024x1024`, with another sign, as a ratio, or as two numbers.

What is not two numbers with a sign between them (`2K`, `16:9`) is the vendor's own word, and goes on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Protocol

from processor.wire.json import JSON

RATIOS: Mapping[str, str] = {
    "1024x1024": "1:1",
    "1536x1024": "3:2",
    "1024x1536": "2:3",
    "1792x1024": "16:9",
    "1024x1792": "9:16",
}
"""OpenAI's sizes. They are meant as shapes: no other vendor has all of them to the pixel."""

_SIZE = re.compile(r"([1-9]\d{1,4})[xX*:]([1-9]\d{1,4})")


class SizeForm(Protocol):
    """A vendor's way to be told a size."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are told in this way, as shell-style patterns."""
        ...

    def fields(self, size: str) -> JSON:
        """The request's fields for a size as the client wrote it; empty when the vendor is to choose."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides in one text."""

    name: str = "size"
    between: str = "x"
    choices: tuple[str, ...] = ()
    """The sizes there are, in the vendor's form, if only some: of these the one whose shape is nearest is sent."""
    below: int | None = None
    """Pixels from which any size is taken, though there are choices."""
    default: str = ""
    """Sent where the client leaves the size to the vendor, and the vendor does not choose."""
    models: tuple[str, ...] = ("*",)

    def fields(self, size: str) -> JSON:
        """One field, or none."""
        sides = _sides(size)
        if sides is None:
            return {self.name: size or self.default} if size or self.default else {}
        limited = self.choices and (self.below is None or sides[0] * sides[1] < self.below)
        return {self.name: _nearest(sides, self.choices) if limited else f"{sides[0]}{self.between}{sides[1]}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioOrSides:
    """A ratio for OpenAI's sizes, and for others the sides as two numbers."""

    ratio: str = "aspect_ratio"
    sides: tuple[str, str] = ("width", "height")
    ratios: Mapping[str, str] = field(default_factory=lambda: RATIOS)
    models: tuple[str, ...] = ("*",)

    def fields(self, size: str) -> JSON:
        """One field, or two, or none."""
        sides = _sides(size)
        if sides is None:
            return {self.ratio: size} if size else {}
        if ratio := self.ratios.get(f"{sides[0]}x{sides[1]}"):
            return {self.ratio: ratio}
        return dict(zip(self.sides, sides, strict=True))


def _sides(size: str) -> tuple[int, int] | None:
    found = _SIZE.fullmatch(size)
    return (int(found[1]), int(found[2])) if found else None


def _nearest(sides: tuple[int, int], choices: Sequence[str]) -> str:
    """The choice most like the size in its shape; of two as near the first."""
    shape = log(sides[0] / sides[1])

    def distance(choice: str) -> float:
        width, height = _sides(choice) or (1, 1)
        return abs(shape - log(width / height))

    return min(choices, key=distance)
