"""What every part of a session stands on: its state, who it is, and its services.

`Session` is put together from parts (`calls`, `waits`, `values`, `findings` ...) that all derive
from `SessionCore`; the state of all of them is declared here, because instances have slots. Must
not know processes, other sessions, or who runs it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from chaperon_engine.actions.every import Periodics
from chaperon_engine.errors import MissingConfig
from chaperon_engine.http.client import HttpClient
from chaperon_engine.http.service import ServiceState
from chaperon_engine.net.cookies import CookieJar
from chaperon_engine.session.assigned import Assigned
from chaperon_engine.session.context import UNMEASURED, PopulationContext
from chaperon_engine.session.kept import Kept
from chaperon_engine.session.labels import ServiceLabels
from chaperon_engine.session.log import SessionLogger
from chaperon_engine.session.sockets import SocketTable, WebSocketVerbs, abort_sockets
from chaperon_engine.session.verbs import Client, HttpVerbs, ServiceView

if TYPE_CHECKING:
    from chaperon_engine.session.family import Family
    from chaperon_engine.session.session import Session


class SessionCore(HttpVerbs, WebSocketVerbs):
    """State and identity of a session; the base of its parts."""

    __slots__ = (
        "_config",
        "_context",
        "_family",
        "_http",
        "_is_measured",
        "_keeping",
        "_kept",
        "_log",
        "_named",
        "_periodics",
        "_random",
        "_sockets",
        "_views",
        "assigned",
        "index",
        "iteration",
    )

    def __init__(
        self, context: PopulationContext, index: int, http: HttpClient, client: Client | None = None
    ) -> None:
        """`client` is what requests go through: `http` itself unless somebody watches."""
        self._context = context
        self._http = http
        self._client = http if client is None else client
        first = next(iter(context.population.services))
        self._labels = context.labels_of(first)
        self._service = http.service(first)
        self._config: Mapping[str, Any] = context.population.config
        self._is_measured = True
        self._family: Family | None = None
        """Parent, children and signals; made when there is the first of them."""
        self._named = None
        self._sockets: SocketTable | None = None
        """WebSockets; made when there is the first of them."""
        self._views: dict[str, ServiceView] | None = None
        self._random: Random | None = None
        self._log: SessionLogger | None = None
        self._kept: Kept | None = None
        self._keeping = None
        self._periodics: Periodics | None = None
        self.assigned = Assigned()
        """What `assign` kept: `session.assigned.cart`, `session.assigned["cart"]`."""
        self.index = index
        """Number within the population, from 0, unique over all workers."""
        self.iteration = 0
        """Number of the present iteration of this session, from 0."""

    # Who this is.

    @property
    def name(self) -> str:
        """Session name: that of its population."""
        return self._context.name

    @property
    def id(self) -> str:
        """Name and index: unique in the run. A child's begins with its parent's."""
        if self._family is not None:
            return self._family.id
        return f"{self._context.name}-{self.index}"

    @property
    def random(self) -> Random:
        """Random numbers that are the same in every run with the same seed and index; those of
        children differ from each other and from their parent's."""
        if self._random is None:
            context, family = self._context, self._family
            who = self.index if family is None or family.parent is None else family.id
            self._random = Random(f"{context.seed}:{context.population.plan.name}:{who}")
        return self._random

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> SessionCore:
        # A session among the assigned values that a child gets copies of stays the one it is.
        return self

    def _close(self) -> None:
        """Let go of all that the session holds; children that still run are cancelled."""
        if self._family is not None:
            self._family.close()
        abort_sockets(self._sockets)
        self._http.close()

    @property
    def _all_sockets(self) -> SocketTable:
        if self._sockets is None:
            self._sockets = {}
        return self._sockets

    # Services.

    def service(self, name: str) -> ServiceView:
        """The same verbs bound to another service. Raises MissingConfig if there is none."""
        if self._views is None:
            self._views = {}
        view = self._views.get(name)
        if view is None:
            services = self._context.population.services
            if name not in services:
                known = ", ".join(services)
                raise MissingConfig(f"service {name!r} is not configured; there is {known}")
            view = self._views[name] = ServiceView(
                self._session, name, self._client, self._http.service(name), self._labels_of(name)
            )
        return view

    @property
    @abstractmethod
    def _session(self) -> Session:
        """The whole of which this is a part."""

    def _labels_of(self, service: str) -> ServiceLabels:
        return self._context.labels_of(service) if self._is_measured else UNMEASURED

    def _locate(self, url: str) -> tuple[ServiceState, str, bool]:
        """The service of a full URL, its path, and whether that is below the base URL's."""
        service, path = self._http.locate(url)
        prefix = service.target.prefix
        if path.startswith(prefix):
            return service, path[len(prefix) :], True
        return service, path, False

    @property
    def cookies(self) -> CookieJar:
        """The session's cookies."""
        return self._http.cookies

    def delete_cookies(self) -> None:
        """Forget all cookies."""
        self._http.delete_cookies()
