"""From the publication of a message over HTTP until a WebSocket has brought it back."""

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class RoundTrip(Scenario):
    """Publishes to a channel of its own, alone or in batches, and waits until all is back."""

    async def init(self, session: Session) -> None:
        self.channel = f"/channel/roundtrip-{session.random.getrandbits(40):x}"
        await session.ws_connect(self.channel, series="/channel/roundtrip-:id")

    async def run(self, session: Session) -> None:
        await session.call_traced(self.publish_and_receive, session.config("batch"))

    async def publish_and_receive(self, session: Session, count: int) -> None:
        if count == 1:
            await session.put(self.channel, json=0, name="/channel/roundtrip-:id")
        else:
            batch = [{"channel": self.channel, "payload": number} for number in range(count)]
            await session.put("/channels@firehose", json=batch)
        for number in range(count):
            frame = await session.ws_recv(decode="json")
            session.check("it is the message", frame["message"] == str(number))

    async def teardown(self, session: Session) -> None:
        await session.ws_close()


class RoundTripTest(LoadTest):
    """Publications one by one and ten at a time, each waiting for its own messages."""

    services = {"firehose": Service("http://127.0.0.1:7070")}
    scenarios = [
        Population(
            RoundTrip, sessions=5, iterations=500, name="one", config={"config": {"batch": 1}}
        ),
        Population(
            RoundTrip, sessions=5, iterations=50, name="ten", config={"config": {"batch": 10}}
        ),
    ]
