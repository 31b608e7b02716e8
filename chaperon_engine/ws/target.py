"""A service as WebSockets reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.net.endpoint import Endpoint
from chaperon_engine.net.url import encode_path, with_params

if TYPE_CHECKING:
    from chaperon_engine.net.network import Network
    from chaperon_engine.net.ports import Labels
    from chaperon_engine.ws.options import ConnectOptions


class WsTarget(Endpoint):
    """What all sessions of a population share about a service."""

    def __init__(self, network: Network, service: ResolvedService, labels: Labels) -> None:
        super().__init__(network, service, labels)
        secure = self.address.scheme == "https"
        self.shown_origin = f"{'wss' if secure else 'ws'}://{self.address.host_header}"
        self.timeout_s = service.timeout_s
        """For connecting, and for every wait that does not say."""
        self.timeout_ns = int(service.timeout_s * 1e9)

    def path(self, path: str, options: ConnectOptions) -> str:
        """Path and query as they are sent. Raises InvalidRequest."""
        sent = encode_path(path if options.joined else self.prefix + path)
        return sent if options.params is None else with_params(sent, options.params)
