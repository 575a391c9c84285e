"""The vendors, each a file of data. They are found by walking this folder: there is nothing to register."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from processor.vendors._vendor import Vendor
from processor.vendors.self_hosted import SELF_HOSTED

_NOT_VENDORS = frozenset({"demo", "self_hosted"})
"""Forms that need something of the configuration: a socket, a base URL."""


def _found() -> dict[str, Vendor]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")
    vendors = [import_module(f"{__name__}.{name}").VENDOR for name in names if name not in _NOT_VENDORS]
    return {vendor.name: vendor for vendor in vendors}


VENDORS: Mapping[str, Vendor] = _found()
DIALECTS: Mapping[str, Vendor] = {
    **VENDORS,
    **{name: vendor.speaking(name) for vendor in VENDORS.values() for name in vendor.dialects},
    "openai": SELF_HOSTED,
}
"""What a server at a configured base URL may speak: plain OpenAI, or any vendor's dialect by the vendor's name."""
_ALIASES = {alias: vendor for vendor in VENDORS.values() for alias in vendor.aliases}


def find(name: str) -> Vendor | None:
    """A vendor by its name or another spelling of it."""
    return VENDORS.get(name) or _ALIASES.get(name)
