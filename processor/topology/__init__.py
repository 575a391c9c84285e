"""What a configuration comes to."""

from processor.topology.build import build
from processor.topology.key_limits import KeyLimits
from processor.topology.model import Keeping, Model, Origin, Patience, Provider, Scope, Target, Topology, route_length
from processor.topology.tariffs import price_table

__all__ = [
    "Keeping",
    "KeyLimits",
    "Model",
    "Origin",
    "Patience",
    "Provider",
    "Scope",
    "Target",
    "Topology",
    "build",
    "price_table",
    "route_length",
]
