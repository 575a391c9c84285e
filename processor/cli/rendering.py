"""Rendering Envoy's files for a set-up, the same for `up`, `serve`, `render` and `check`."""

from __future__ import annotations

from pathlib import Path

from processor.app import Setup
from processor.render import Settings, default_bootstrap, render, system_ca_file


def write_envoy_files(
    setup: Setup,
    folder: Path,
    *,
    template: Path | None = None,
    port: int | None = None,
) -> None:
    """Render into `folder`. Raises ConfigError for an unusable template."""
    listen = setup.config.listen
    settings = Settings(
        address=listen.address,
        port=listen.port if port is None else port,
        admin_port=setup.config.admin.port,
        admin_socket=setup.state.admin_socket,
        api_port=setup.config.admin.api,
        api_sockets=tuple(map(setup.state.admin_api_socket, range(setup.config.workers))),
        loopback_socket=setup.state.loopback_socket,
        body_limit=setup.config.body_limit,
        folder=folder,
        access_log=setup.state.access_log,
    )
    sockets = [setup.state.worker_socket(number) for number in range(setup.config.workers)]
    rendered = render(
        setup.topology,
        settings,
        template=template or default_bootstrap(),
        sockets=sockets,
        ca_file=system_ca_file(),
    )
    rendered.write(folder)
