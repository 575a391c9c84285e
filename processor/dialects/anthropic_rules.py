"""What sets Anthropic's models apart behind Messages: data by model pattern, the first that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processor.dialects.openai_chat_edits import matches
from processor.wire.json import JSON

Efforts = Mapping[str, JSON]
"""`reasoning_effort` to the request's own fields; what is missing is not done, since an effort is a hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What models take. Where Anthropic says nothing it is assumed that they do, for its own refusal is clear."""

    models: tuple[str, ...] = ("*",)
    """Shell-style patterns, in lower case."""
    max_tokens: int = 16384
    """Sent where the client names no limit: Messages insists on one."""
    efforts: Efforts = field(default_factory=dict)
    """Empty where the models do not think."""
    sampling: bool = True
    """Whether they take a temperature other than 1, `top_p` or `top_k` at all."""
    one_sampler: bool = True
    """Whether they take a temperature or `top_p`, and not both."""
    schema: bool = True
    """Whether `output_config.format` is taken; JSON is had by a forced tool otherwise."""


@dataclass(frozen=True, slots=True)
class AnthropicRules:
    """The families."""

    families: tuple[Family, ...]

    def of(self, model: str) -> Family:
        """A model's family."""
        return next((family for family in self.families if matches(model, family.models)), _ANY)


def _budgets(**efforts: int) -> Efforts:
    """Tokens to think with."""
    return {
        "none": {},
        **{effort: {"thinking": {"type": "enabled", "budget_tokens": tokens}} for effort, tokens in efforts.items()},
    }


def _adaptive(thinking: JSON, **efforts: str) -> Efforts:
    """The model chooses how long to think, in its words for how hard."""
    return {
        "none": {},
        **{effort: {"thinking": thinking, "output_config": {"effort": said}} for effort, said in efforts.items()},
    }


_BUDGETS = _budgets(minimal=1024, low=2048, medium=8192, high=16384, xhigh=32768, max=32768)
_CLAUDE_4_6 = _adaptive(
    {"type": "adaptive"}, minimal="low", low="low", medium="medium", high="high", xhigh="max", max="max"
)
_NEWEST = _adaptive(
    {"type": "adaptive", "display": "summarized"},  # hidden by default
    minimal="low",
    low="low",
    medium="medium",
    high="high",
    xhigh="xhigh",
    max="max",
)
_ANY = Family(efforts=_NEWEST, sampling=False)

ANTHROPIC_RULES = AnthropicRules(
    (
        Family(models=("claude-3-7*",), efforts=_BUDGETS, one_sampler=False, schema=False),
        Family(models=("claude-3-5*",), max_tokens=8192, one_sampler=False, schema=False),
        Family(models=("claude-[123]*", "claude-instant*"), max_tokens=4096, one_sampler=False, schema=False),
        Family(models=("claude-*-4-20*", "claude-*-4-0"), efforts=_BUDGETS, one_sampler=False, schema=False),
        Family(models=("claude-*-4-1*",), efforts=_BUDGETS, schema=False),
        Family(models=("claude-*-4-5*",), efforts=_BUDGETS),
        Family(models=("claude-*-4-6*",), efforts=_CLAUDE_4_6),
        Family(models=("claude-*",), efforts=_NEWEST, sampling=False),
        # What others serve behind the same protocol.
        Family(efforts=_BUDGETS, max_tokens=8192, one_sampler=False, schema=False),
    )
)
