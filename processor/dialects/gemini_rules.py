"""What sets Gemini's model families apart: data by model pattern, the first that fits, which a vendor may replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from processor.dialects.openai_chat_edits import matches
from processor.wire.json import JSON

_DEEP = ("high", "xhigh", "max")


def _levels(**efforts: str) -> Mapping[str, JSON]:
    return {effort: {"thinkingLevel": level, "includeThoughts": True} for effort, level in efforts.items()}


def _budgets(**efforts: int) -> Mapping[str, JSON]:
    return {
        effort: {"thinkingBudget": tokens, "includeThoughts": True} if tokens else {"thinkingBudget": 0}
        for effort, tokens in efforts.items()
    }


_FLASH_LEVELS = {
    "none": {"thinkingLevel": "MINIMAL"},  # as good as off; it has no other way to say so
    **_levels(minimal="MINIMAL", low="LOW", medium="MEDIUM"),
    **_levels(**dict.fromkeys(_DEEP, "HIGH")),
}
_PRO_LEVELS = _levels(minimal="LOW", low="LOW", medium="MEDIUM", **dict.fromkeys(_DEEP, "HIGH"))
_FIRST_PRO_LEVELS = _levels(minimal="LOW", low="LOW", medium="HIGH", **dict.fromkeys(_DEEP, "HIGH"))
_PRO_BUDGETS = _budgets(minimal=1024, low=2048, medium=8192, high=16384, xhigh=32768, max=32768)
_FLASH_BUDGETS = _budgets(none=0, minimal=1024, low=2048, medium=8192, high=16384, xhigh=24576, max=24576)

_BEFORE_2_5 = ("gemini-1*", "gemini-2.0*", "gemma*", "learnlm*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """How a family is told to think."""

    models: tuple[str, ...]
    efforts: Mapping[str, JSON]
    """`reasoning_effort` to `thinkingConfig`, what is missing cannot be done; empty where the models do not think."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiRules:
    """The differences, each with shell-style patterns of models in lower case."""

    thinking: tuple[Thinking, ...] = (
        Thinking(models=(*_BEFORE_2_5, "*-image*", "*-tts*", "*-live*"), efforts={}),
        Thinking(models=("gemini-2.5-pro*",), efforts=_PRO_BUDGETS),
        Thinking(models=("gemini-2.5-*",), efforts=_FLASH_BUDGETS),
        Thinking(models=("gemini-3-pro*",), efforts=_FIRST_PRO_LEVELS),
        Thinking(models=("gemini-*pro*",), efforts=_PRO_LEVELS),
        Thinking(models=("gemini-*",), efforts=_FLASH_LEVELS),
    )
    openapi_only: tuple[str, ...] = _BEFORE_2_5
    """Models that take schemas in OpenAPI's subset instead of JSON Schema."""
    unsigned: tuple[str, ...] = ("gemini-1*", "gemini-2*", "gemma*", "learnlm*")
    """Models that neither number their calls nor insist on a call's `thoughtSignature`; Gemini 3 does both."""

    def efforts(self, model: str) -> Mapping[str, JSON]:
        """What `reasoning_effort` may say to a model."""
        return next((family.efforts for family in self.thinking if matches(model, family.models)), {})

    def takes_json_schema(self, model: str) -> bool:
        """Whether a model reads JSON Schema as it is."""
        return not matches(model, self.openapi_only)

    def signs_calls(self, model: str) -> bool:
        """Whether a model wants its calls back with their ids and signatures."""
        return not matches(model, self.unsigned)


RULES = GeminiRules()
"""Google's models as they are."""
