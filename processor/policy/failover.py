"""Which of a vendor's answers another target may make good. Pure."""

from __future__ import annotations

RETRIABLE_STATUSES = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""The routes' retry policy answers these by trying the next target; 529 is Anthropic's and DeepSeek's "overloaded"."""
