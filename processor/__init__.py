"""An AI gateway beside Envoy: the external processor that decides, and the commands that run the pair."""

__version__ = "0.1.0"
