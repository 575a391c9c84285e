"""What a configuration comes to."""

from processor.topology.build import build
from processor.topology.key_limits import KeyLimits
from processor.topology.model import Model, Origin, Patience, Provider, Target, Topology, route_length
from processor.topology.tariffs import price_table

__all__ = [
    "KeyLimits",
    "Model",
    "Origin",
    "Patience",
    "Provider",
    "Target",
    "Topology",
    "build",
    "price_table",
    "route_length",
]
