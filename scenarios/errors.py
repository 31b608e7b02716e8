"""What Chaperon makes of a service that fails: errors, slow replies, checks and own metrics."""

from chaperon_engine import (
    LoadTest,
    Population,
    RequestTimeout,
    Response,
    Scenario,
    Service,
    Session,
)


class Flaky(Scenario):
    """A client of a service that answers one request in ten with an error, and tries again."""

    async def run(self, session: Session) -> None:
        # One more attempt after each error, a little later.
        await session.retry_on_error(self.order, retries=1, random_delay="50ms")
        # A status that is expected is not counted as an HTTP error.
        await session.get("/status/404", expect=404)
        await session.delay(0.01, random=0.02)

    async def order(self, session: Session) -> Response:
        reply = await session.get("/flaky", params={"rate": 0.1}, name="order")
        session.check("the order is accepted", reply.ok)
        session.rate("orders accepted", reply.ok)
        if not reply.ok:
            raise RuntimeError(f"the order was answered with {reply.status}")
        return reply


class Slow(Scenario):
    """A client with little patience: it waits 150 ms for replies that take up to 200 ms."""

    async def run(self, session: Session) -> None:
        ms = session.random.randrange(50, 200)
        try:
            reply = await session.get("/slow", params={"ms": ms}, name="/slow", timeout=0.15)
        except RequestTimeout:
            session.counter("gave up")
        else:
            session.add_metric("time to first byte", reply.timings.first_byte_us, unit="us")


class ErrorsTest(LoadTest):
    """A service that fails now and then: errors, time-outs, checks, retries and own metrics."""

    services = {"target": Service("http://127.0.0.1:7070")}
    scenarios = [
        Population(Flaky, sessions=20, duration="15s", name="flaky clients"),
        Population(Slow, sessions=5, duration="15s", name="impatient clients"),
    ]
