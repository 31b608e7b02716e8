"""One publisher and a thousand subscribers: how late is each message, and does every one arrive?

The publisher begins when every subscriber has answered its roll call, wherever in the run they are.
The delivery latency goes from just before a publication until a subscriber's code has the message.
"""

import json

from chaperon_engine import LoadTest, Population, RequestTimeout, Scenario, Service, Session

SUBSCRIBERS = 1_000


class Publisher(Scenario):
    """Calls the roll until all are present, then publishes numbered messages and an end."""

    async def run(self, session: Session) -> None:
        await session.ws_connect(session.config("present"))
        self.missing = session.config("subscribers")
        session.spawn(self.call_the_roll)
        try:
            while self.missing:
                await session.ws_recv()
                self.missing -= 1
        except RequestTimeout:
            session.abort(f"{self.missing} subscribers did not answer")
        for number in range(session.config("messages")):
            await self.publish(session, number=number, sent=session.timestamp())
            await session.delay(session.config("pause"))
        await self.publish(session, end=session.config("messages"))
        await session.ws_close()

    async def call_the_roll(self, session: Session) -> None:
        while self.missing:
            await self.publish(session, roll_call=True)
            await session.delay("500ms")

    async def publish(self, session: Session, **message: int) -> None:
        await session.put(session.config("channel"), json=message)


class Subscriber(Scenario):
    """Answers the roll call, then keeps account of every message until the end.

    One whose connection breaks or falls silent has no account: it counts as a failed iteration.
    """

    async def run(self, session: Session) -> None:
        await session.ws_connect(session.config("channel"))
        await self.message(session)
        await session.put(session.config("present"), body="here")

        seen: set[int] = set()
        newest = duplicated = out_of_order = 0
        while "end" not in (message := await self.message(session)):
            if "roll_call" in message:
                continue
            session.latency("delivery", message["sent"])
            number = message["number"]
            duplicated += number in seen
            out_of_order += number < newest and number not in seen
            newest = max(newest, number)
            seen.add(number)
        await session.ws_close()

        lost = message["end"] - len(seen)
        session.counter("delivered", len(seen))
        session.counter("lost", lost)
        session.counter("duplicated", duplicated)
        session.counter("out of order", out_of_order)
        session.check("nothing is lost", lost == 0)
        session.check("nothing comes twice", duplicated == 0)
        session.check("everything is in order", out_of_order == 0)

    async def message(self, session: Session) -> dict[str, int]:
        frame = await session.ws_recv(decode="json")
        message: dict[str, int] = json.loads(frame["message"])
        return message


class FanOutTest(LoadTest):
    """One publisher, a thousand subscribers: delivery latency; lost, duplicated, out of order."""

    # Requests share connections, so that a subscriber holds one socket.
    services = {"firehose": Service("http://127.0.0.1:7070", pool="worker")}
    default_config = {
        "config": {
            "channel": "/channel/fanout",
            "present": "/channel/fanout-present",
            "subscribers": SUBSCRIBERS,  # --sessions subscribers=N --set config.subscribers=N
            "messages": 50,
            "pause": "200ms",
        }
    }
    scenarios = [
        Population(Subscriber, sessions=SUBSCRIBERS, ramp_up="2s", name="subscribers"),
        Population(Publisher, name="publisher"),
    ]
