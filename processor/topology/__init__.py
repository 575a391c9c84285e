"""What a configuration comes to."""

from processor.topology.build import build
from processor.topology.model import Model, Origin, Patience, Provider, Target, Topology, route_length

__all__ = ["Model", "Origin", "Patience", "Provider", "Target", "Topology", "build", "route_length"]
