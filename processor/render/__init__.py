"""Envoy's files from the configuration: the bootstrap, and clusters and routes as file-based xDS."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from processor.render.bootstrap import Settings, bootstrap, default_bootstrap
from processor.render.clusters import clusters
from processor.render.plain import Plain
from processor.render.routes import route_configuration
from processor.topology import Topology

__all__ = ["Rendered", "Settings", "default_bootstrap", "render", "system_ca_file"]

_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, and Envoy's own image
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/cert.pem",  # macOS, BSD
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Envoy's three files, not yet written."""

    bootstrap: Plain
    clusters: Plain
    routes: Plain

    def write(self, folder: Path) -> None:
        """Write the files, each replaced in one step: Envoy reads a file when it is moved into place."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("clusters", "routes"):
            _write(folder / f"{name}.yaml", getattr(self, name))
        _write(folder / "envoy.yaml", self.bootstrap)


def render(
    topology: Topology, settings: Settings, *, template: Path, sockets: Sequence[Path], ca_file: str
) -> Rendered:
    """Render all three. Raises ConfigError for an unusable template."""
    return Rendered(
        bootstrap=bootstrap(template, settings),
        clusters={"resources": list(clusters(topology, sockets=sockets, ca_file=ca_file))},
        routes={"resources": [route_configuration(topology)]},
    )


def system_ca_file() -> str:
    """The machine's CA bundle, for hosts without a `ca_file` of their own."""
    found = ssl.get_default_verify_paths().cafile
    candidates = (os.environ.get("SSL_CERT_FILE"), *_CA_BUNDLES, found)
    return next((path for path in candidates if path and Path(path).exists()), _CA_BUNDLES[0])


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # chosen at run time
    """Writes shared parts out each time: a resource is read alone."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - for every value
        return True


def _write(path: Path, document: Plain) -> None:
    text = "# Rendered from gateway.yaml; changes here are lost.\n" + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
    )
    temporary = path.with_suffix(".new")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
