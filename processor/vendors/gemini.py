"""Google Gemini, in passthrough."""

from __future__ import annotations

from processor.auth.credentials import X_GOOG_API_KEY
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="gemini",
    origin="https://generativelanguage.googleapis.com",
    env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    auth=X_GOOG_API_KEY,
    otel_name="gcp.gemini",
)
