"""Parameters of OpenAI's chat that other vendors do not know, and that some refuse."""

from __future__ import annotations

from typing import Any

OPENAI_ONLY = frozenset(
    {
        "audio",
        "metadata",
        "modalities",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
        "web_search_options",
    }
)

PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
"""Tokens of thinking for each effort, as several gateways map them."""

THINKING_BUDGET: dict[str, dict[str, Any]] = {
    "none": {"enable_thinking": False},
    **{effort: {"enable_thinking": True, "thinking_budget": budget} for effort, budget in _BUDGETS.items()},
}
"""`reasoning_effort` as `enable_thinking` and `thinking_budget`."""

ENABLE_THINKING: dict[str, dict[str, Any]] = {
    effort: {"enable_thinking": effort != "none"} for effort in ("none", *_BUDGETS)
}

THINKING_TYPE: dict[str, dict[str, Any]] = {
    effort: {"thinking": {"type": "disabled" if effort == "none" else "enabled"}} for effort in ("none", *_BUDGETS)
}
