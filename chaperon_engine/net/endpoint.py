"""Where a service is and how it is reached: what every client needs before it speaks."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.series import NULL_TIMED
from chaperon_engine.net.fields import (
    HeaderFields,
    basic_credentials,
    bearer_credentials,
    header_fields,
)
from chaperon_engine.net.url import Origin, split_url
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

if TYPE_CHECKING:
    from chaperon_engine.net.network import Network
    from chaperon_engine.net.ports import Labels, TimedSink

USER_AGENT = f"chaperon/{__version__}"


class Endpoint:
    """A service as the sessions of one population reach it. Raises InvalidRequest or UserError
    for bad settings."""

    def __init__(self, network: Network, service: ResolvedService, labels: Labels) -> None:
        self.network = network
        self.service = service
        self.name = service.name
        self.labels = labels
        what = f"the base_url of service {visible(service.name)}"
        if not service.base_url:
            raise InvalidRequest(f"{what} is not given")
        self.address, self.prefix = split_url(service.base_url, what)
        """Origin, and what stands before every path."""
        if network.allowed is not None:
            network.allowed.check(self.address, service.name)
        if self.prefix == "/":
            # People write http://host/ and /path and do not mean http://host//path.
            self.prefix = ""
        self.origin = str(self.address)
        self.host, self.port = self.address.host, self.address.port
        self.where = visible(self.address.host_header)
        """Host and port for messages."""
        self.connect_timeout_s = service.connect_timeout_s
        self.tls_timeout_s = service.tls_timeout_s
        self.tls: ssl.SSLContext | None = None
        self.server_name: str | None = None
        """Name sent as SNI and verified."""
        if self.address.scheme == "https":
            self.tls = network.contexts.context(service.tls, service.name)
            self.server_name = service.tls.server_name or self.host
        self.fields = _fields(service, self.address)
        """Header fields of every request."""

    def series(self, kind: str) -> TimedSink:
        """The series of dns, connect, tls or pool_wait, in the phase of this moment."""
        if not self.labels.is_measured:
            return NULL_TIMED
        return self.network.recorder.timed(
            SeriesKey(
                kind=kind,
                scenario=self.labels.scenario,
                session=self.labels.session,
                service=self.name,
            )
        )

    def elsewhere(self, address: Origin) -> ResolvedService:
        """A service for an origin that is not configured: these limits, but no header,
        credential or TLS setting, all of which belong to this origin."""
        return ResolvedService(
            **{
                name: getattr(self.service, name)
                for name in (
                    "timeout_s",
                    "connect_timeout_s",
                    "tls_timeout_s",
                    "first_byte_timeout_s",
                    "max_connections",
                    "max_header_bytes",
                    "max_headers",
                    "max_body_bytes",
                    "max_decoded_bytes",
                    "max_redirects",
                    "ws_compression",
                    "ws_ping_interval_s",
                    "ws_ping_timeout_s",
                    "ws_max_message_bytes",
                    "ws_max_queue",
                )
            },
            name=str(address),
            base_url=str(address),
        )


def _fields(service: ResolvedService, address: Origin) -> HeaderFields:
    fields: HeaderFields = {
        "host": ("Host", address.host_header),
        "user-agent": ("User-Agent", USER_AGENT),
        "accept": ("Accept", "*/*"),
    }
    what = f"the headers of service {visible(service.name)}"
    if service.basic_auth is not None:
        fields["authorization"] = ("Authorization", basic_credentials(service.basic_auth))
    if service.bearer is not None:
        fields["authorization"] = ("Authorization", bearer_credentials(service.bearer))
    fields.update(header_fields(service.headers, what))
    return fields
