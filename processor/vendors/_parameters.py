"""Parameters of OpenAI's chat that other vendors do not know, and that some refuse."""

from __future__ import annotations

from typing import Any

OPENAI_ONLY = frozenset(
    {
        "audio",
        "metadata",
        "modalities",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
        "web_search_options",
    }
)

PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
LOGPROBS = frozenset({"logprobs", "top_logprobs"})

Settings = dict[str, dict[str, Any]]
"""For each `reasoning_effort`, what the vendor is sent instead."""

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
"""Tokens of thinking for each effort, as several gateways map them."""

THINKING_BUDGET: Settings = {
    "none": {"enable_thinking": False},
    **{effort: {"enable_thinking": True, "thinking_budget": budget} for effort, budget in _BUDGETS.items()},
}
"""`enable_thinking` and `thinking_budget`."""

ENABLE_THINKING: Settings = {effort: {"enable_thinking": effort != "none"} for effort in ("none", *_BUDGETS)}

THINKING_TYPE: Settings = {
    effort: {"thinking": {"type": "disabled" if effort == "none" else "enabled"}} for effort in ("none", *_BUDGETS)
}

THINKING_ADAPTIVE: Settings = {
    effort: {"thinking": {"type": "disabled" if effort == "none" else "adaptive"}} for effort in ("none", *_BUDGETS)
}

LOW_HIGH_MAX: Settings = {
    "none": {"thinking": {"type": "disabled"}},
    "minimal": {"reasoning_effort": "low"},
    "low": {"reasoning_effort": "low"},
    "medium": {"reasoning_effort": "high"},
    "high": {"reasoning_effort": "high"},
    "xhigh": {"reasoning_effort": "high"},
    "max": {"reasoning_effort": "max"},
}
"""DeepSeek's and Kimi K3's three efforts."""

MINIMAL_TO_HIGH: Settings = {
    "none": {"reasoning_effort": "minimal"},
    "minimal": {"reasoning_effort": "minimal"},
    "low": {"reasoning_effort": "low"},
    "medium": {"reasoning_effort": "medium"},
    "high": {"reasoning_effort": "high"},
    "xhigh": {"reasoning_effort": "high"},
    "max": {"reasoning_effort": "high"},
}
"""Ark's four, of which the least turns thinking off."""
