"""What sets Anthropic's models apart behind Messages: data by model pattern, the first that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processor.dialects.openai_chat_edits import matches
from processor.wire.json import JSON

Efforts = Mapping[str, JSON]
"""`reasoning_effort` to the request's own fields; what is missing is not done, since an effort is a hint.

`none` is also what is said where a model must not think, since it is made to call a tool.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What models take. Where Anthropic says nothing it is assumed that they do, for its own refusal is clear."""

    models: tuple[str, ...] = ("*",)
    """Shell-style patterns, in lower case."""
    max_tokens: int = 16384
    """Sent where the client names no limit: Messages insists on one."""
    longest: int = 64000
    """The most that `max_tokens` may be."""
    efforts: Efforts = field(default_factory=dict)
    """Empty where the models do not think."""
    sampling: bool = True
    """Whether they take a temperature other than 1, `top_p` or `top_k` at all."""
    one_sampler: bool = True
    """Whether they take a temperature or `top_p`, and not both."""
    forced_tool: bool = True
    """Whether `tool_choice` may be `any` or a tool's name."""
    schema: bool = True
    """Whether `output_config.format` and strict tools are taken; JSON is had by a forced tool otherwise."""


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


def _adaptive(thinking: JSON, none: JSON | None = None, **efforts: str) -> Efforts:
    """The model chooses how long to think, in its words for how hard."""
    return {
        "none": none or {},
        **{effort: {"thinking": thinking, "output_config": {"effort": said}} for effort, said in efforts.items()},
    }


def _newest(none: JSON | None = None) -> Efforts:
    """They show their thinking only to those who ask."""
    words = {name: name for name in ("low", "medium", "high", "xhigh", "max")}
    return _adaptive({"type": "adaptive", "display": "summarized"}, none, minimal="low", **words)


_BUDGETS = _budgets(minimal=1024, low=2048, medium=8192, high=16384, xhigh=32768, max=32768)
_CLAUDE_4_6 = _adaptive(
    {"type": "adaptive"}, minimal="low", low="low", medium="medium", high="high", xhigh="max", max="max"
)
_ON_REQUEST = _newest()
_UNLESS_TOLD = _newest({"thinking": {"type": "disabled"}})
_BETWEEN_TOOLS = _newest({"thinking": {"type": "between_tools"}})
_ALWAYS = _newest({"output_config": {"effort": "low"}})
"""These cannot but think."""


def _latest(*models: str, efforts: Efforts, forced_tool: bool = True) -> Family:
    return Family(
        models=models, max_tokens=32768, longest=128000, efforts=efforts, sampling=False, forced_tool=forced_tool
    )


_ANY = _latest(efforts=_ON_REQUEST)

ANTHROPIC_RULES = AnthropicRules(
    (
        Family(models=("claude-3-7*",), efforts=_BUDGETS, one_sampler=False, schema=False),
        Family(models=("claude-3-5*",), max_tokens=8192, one_sampler=False, schema=False),
        Family(models=("claude-[123]*", "claude-instant*"), max_tokens=4096, one_sampler=False, schema=False),
        Family(
            models=("claude-opus-4-20*", "claude-opus-4-0"),
            longest=32000,
            efforts=_BUDGETS,
            one_sampler=False,
            schema=False,
        ),
        Family(models=("claude-*-4-20*", "claude-*-4-0"), efforts=_BUDGETS, one_sampler=False, schema=False),
        Family(models=("claude-opus-4-1*",), longest=32000, efforts=_BUDGETS, schema=False),
        Family(models=("claude-*-4-5*",), efforts=_BUDGETS),
        Family(models=("claude-*-4-6*",), max_tokens=32768, longest=128000, efforts=_CLAUDE_4_6),
        _latest("claude-sonnet-5-5*", efforts=_BETWEEN_TOOLS, forced_tool=False),
        _latest(
            "claude-opus-5-5*", "claude-fable-5-[1-9]", "claude-mythos-5-[1-9]", efforts=_ALWAYS, forced_tool=False
        ),
        _latest("claude-fable-*", "claude-mythos-*", efforts=_ALWAYS),
        _latest("claude-haiku-5*", "claude-opus-5*", "claude-sonnet-5*", efforts=_UNLESS_TOLD),
        _latest("claude-*", efforts=_ON_REQUEST),
        # What others serve behind the same protocol.
        Family(efforts=_BUDGETS, max_tokens=8192, one_sampler=False, schema=False),
    )
)
"""After Anthropic's pages on models, thinking, effort and structured outputs, and its migration guides."""
