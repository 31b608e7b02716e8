"""Several populations that start one after the other, two services, and config of one's own."""

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Browse(Scenario):
    """A visitor who signs in once, then looks at a few pages and thinks in between."""

    async def init(self, session: Session) -> None:
        reply = await session.post("/login", json={"user": f"visitor {session.index}"})
        if not reply.ok:
            session.refuse(f"the login was answered with {reply.status}")

    async def run(self, session: Session) -> None:
        await session.get("/")
        for size in session.config("page_sizes"):
            await session.get(f"/bytes/{size}", name="/bytes")
            await session.delay(session.config("think_time"), random=session.config("think_time"))


class Search(Scenario):
    """A visitor who searches and reads the replies of the second service."""

    async def init(self, session: Session) -> None:
        session.assign(found=0)

    async def run(self, session: Session) -> None:
        word = session.random.choice(["tea", "coffee", "cake"])
        page = await session.service("search").get("/json", params={"q": word}, name="search")
        if session.check("the reply is for the word", lambda: page.json()["query"]["q"] == word):
            session.update_assign(found=lambda found: found + 1)
        await session.delay("20ms", random="30ms")

    async def teardown(self, session: Session) -> None:
        session.log_info("found something %d times", session.assigned.found)


class BrowseTest(LoadTest):
    """Two kinds of visitors on two services; the number of visitors rises for five seconds."""

    services = {
        "shop": Service("http://127.0.0.1:7070", timeout="5s"),
        "search": Service("http://127.0.0.1:7070", headers={"X-Client": "browse"}, timeout="2s"),
    }
    default_config = {"config": {"think_time": 0.02, "page_sizes": [200, 2_000, 20_000]}}
    warmup = "2s"
    scenarios = [
        Population(Browse, sessions=30, duration="20s", ramp_up="5s", name="visitors"),
        Population(Search, sessions=10, duration="20s", ramp_up="5s", name="searchers"),
        Population(
            Browse,
            sessions=2,
            duration="20s",
            name="collectors",
            fresh=True,
            config={"config": {"page_sizes": [200_000]}},
        ),
    ]
