"""Anthropic, in passthrough."""

from __future__ import annotations

from processor.auth.credentials import X_API_KEY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="anthropic",
    origin="https://api.anthropic.com",
    env=("ANTHROPIC_API_KEY",),
    auth=X_API_KEY,
)
