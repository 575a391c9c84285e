"""What sets Bedrock's model families apart behind Converse: data by model pattern, the first that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processor.dialects.openai_chat_edits import matches
from processor.wire.json import JSON

Efforts = Mapping[str, JSON]
"""`reasoning_effort` to `additionalModelRequestFields`; what is missing cannot be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What models take. Where AWS says nothing it is assumed that they do, for the vendor's own refusal is clear."""

    models: tuple[str, ...] = ("*",)
    """Shell-style patterns, in lower case, of ids with or without a region before them, and of ARNs."""
    efforts: Efforts = field(default_factory=dict)
    """Empty where the models do not think, or always do."""
    thinks_alone: bool = False
    """Whether they take neither sampling parameters nor a forced tool while they think."""
    sampling: bool = True
    """Whether they take a temperature other than 1, `top_p` or `top_k` at all."""
    one_sampler: bool = False
    """Whether they take a temperature or `top_p`, and not both."""
    top_k: tuple[str, ...] = ("top_k",)
    """Where `top_k` stands in `additionalModelRequestFields`."""
    forced_tool: bool = True
    """Whether `toolChoice` may be `any` or a tool's name."""
    one_call: bool = False
    """Whether they can be kept to one tool call at a time, as Anthropic's own API words it."""
    schema: bool = False
    """Whether `outputConfig.textFormat` is taken; JSON is had by a forced tool otherwise."""
    cached: frozenset[str] = frozenset()
    """Where they take a `cachePoint`: `system`, `messages`, `tools`."""
    reasoning_format: str = "aws-bedrock-v1"
    """Of `reasoning_details`: whose thinking they know again by its signature."""


@dataclass(frozen=True, slots=True)
class BedrockRules:
    """The families."""

    families: tuple[Family, ...]

    def of(self, model: str) -> Family:
        """A model's family; an ARN that hides the model is in the last one, which takes most."""
        return next((family for family in self.families if matches(model, family.models)), _ANY)


def _thinking(**efforts: JSON) -> Efforts:
    return {"none": {}, **efforts}


def _budgets(**efforts: int) -> Efforts:
    return _thinking(
        **{effort: {"thinking": {"type": "enabled", "budget_tokens": tokens}} for effort, tokens in efforts.items()}
    )


def _adaptive(thinking: JSON, **efforts: str) -> Efforts:
    return _thinking(
        **{effort: {"thinking": thinking, "output_config": {"effort": said}} for effort, said in efforts.items()}
    )


_BUDGETS = _budgets(minimal=1024, low=2048, medium=8192, high=16384, xhigh=32768, max=32768)
_CLAUDE_4_6 = _adaptive(
    {"type": "adaptive"}, minimal="low", low="low", medium="medium", high="high", xhigh="max", max="max"
)
_CLAUDE_NEWEST = _adaptive(
    {"type": "adaptive", "display": "summarized"},  # hidden by default
    minimal="low",
    low="low",
    medium="medium",
    high="high",
    xhigh="xhigh",
    max="max",
)
_LOW_TO_HIGH = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_NOVA_2 = _thinking(
    **{
        effort: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": said}}
        for effort, said in _LOW_TO_HIGH.items()
    }
)
_GPT_OSS: Efforts = {effort: {"reasoning_effort": said} for effort, said in _LOW_TO_HIGH.items()}
"""Which cannot but think."""

_EVERYWHERE = frozenset({"system", "messages", "tools"})
_ANTHROPIC = "anthropic-claude-v1"
_ANY = Family()


def _claude(
    *models: str, efforts: Efforts, sampling: bool = True, one_sampler: bool = True, schema: bool = False
) -> Family:
    return Family(
        models=models,
        efforts=efforts,
        thinks_alone=True,
        sampling=sampling,
        one_sampler=one_sampler,
        one_call=True,
        schema=schema,
        cached=_EVERYWHERE,
        reasoning_format=_ANTHROPIC,
    )


BEDROCK_RULES = BedrockRules(
    (
        Family(models=("*anthropic.claude-3-5-haiku*", "*anthropic.claude-3-5-sonnet-20241022*"), cached=_EVERYWHERE),
        _claude("*anthropic.claude-3-7*", "*anthropic.claude-*-4-20*", efforts=_BUDGETS, one_sampler=False),
        Family(models=("*anthropic.claude-[123v]*", "*anthropic.claude-instant*")),
        _claude("*anthropic.claude-*-4-1*", efforts=_BUDGETS),
        _claude("*anthropic.claude-*-4-5*", efforts=_BUDGETS, schema=True),
        _claude("*anthropic.claude-*-4-6*", efforts=_CLAUDE_4_6, schema=True),
        _claude("*anthropic.claude-*", efforts=_CLAUDE_NEWEST, sampling=False, schema=True),
        Family(
            models=("*amazon.nova-2*",),
            efforts=_NOVA_2,
            top_k=("inferenceConfig", "topK"),
            cached=frozenset({"system", "messages"}),
        ),
        Family(models=("*amazon.nova*",), top_k=("inferenceConfig", "topK"), cached=frozenset({"system", "messages"})),
        Family(models=("*openai.gpt-oss*",), efforts=_GPT_OSS, schema=True),
        Family(
            models=(
                "*deepseek.v3*",
                "*google.gemma*",
                "*minimax.*",
                "*mistral.magistral*",
                "*mistral.ministral*",
                "*mistral.mistral-large-3*",
                "*moonshot*",
                "*nvidia.*",
                "*qwen.*",
            ),
            schema=True,
        ),
        Family(models=("*ai21.*", "*amazon.titan*", "*cohere.*", "*deepseek.r1*", "*meta.*"), forced_tool=False),
    )
)
"""After the user guide's tables: inference parameters, prompt caching, structured outputs, adaptive thinking."""
