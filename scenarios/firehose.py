"""A channel with several kinds of readers: publish over HTTP, read by long poll and WebSocket."""

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Publish(Scenario):
    """Publishes a message after a random pause."""

    async def run(self, session: Session) -> None:
        await session.random_delay(session.config("pause"))
        await session.put(session.config("channel"), json={"hello": "world"})


class LongPoll(Scenario):
    """Asks for the next message and waits up to a second for it."""

    async def init(self, session: Session) -> None:
        session.assign(last=0)

    async def run(self, session: Session) -> None:
        after = {"last_message_sequence": session.assigned.last, "timeout": 1000}
        reply = await session.get(session.config("channel"), params=after, name="long poll")
        if reply.status == 200:
            session.assign(last=reply.json()["last_sequence"])
            session.counter("messages polled")


class Subscribe(Scenario):
    """Takes as many messages from a WebSocket as its config says, then leaves."""

    async def run(self, session: Session) -> None:
        await session.ws_connect(session.config("channel"))
        await session.repeat(self.receive, session.config("messages"))
        await session.ws_close()

    async def receive(self, session: Session) -> None:
        frame = await session.ws_recv(decode="json")
        session.check("it is the message", frame["message"] == '{"hello":"world"}')


class FirehoseTest(LoadTest):
    """Eager and lazy publishers of one channel, and those who read it in their own ways."""

    services = {"firehose": Service("http://127.0.0.1:7070")}
    default_config = {"config": {"channel": "/channel/firehose", "pause": "50ms"}}
    scenarios = [
        Population(
            Publish,
            sessions=2,
            iterations=100,
            name="eager",
            config={"delay": "1s"},
        ),
        Population(
            Publish,
            iterations=50,
            name="lazy",
            config={"delay": "4s", "config": {"pause": "250ms"}},
        ),
        Population(LongPoll, sessions=20, duration="8s", ramp_up="2s", name="pollers"),
        Population(Subscribe, sessions=5, name="short", config={"config": {"messages": 10}}),
        Population(Subscribe, sessions=5, name="medium", config={"config": {"messages": 50}}),
        Population(Subscribe, sessions=5, name="long", config={"config": {"messages": 200}}),
    ]
