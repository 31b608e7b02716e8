"""What `--help` says of each command. Pure data."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """The help of one command."""

    summary: str
    description: str = ""
    examples: tuple[str, ...] = ()


COMMANDS = {
    "run": Command(
        "run a load test",
        "Run a load test on every core, print how it goes and then a summary.\n"
        "Ctrl-C once stops gracefully, twice aborts; both leave a report.",
        (
            "chaperon run scenarios/checkout.py",
            "chaperon run checkout.py:CheckoutTest --sessions 200 --duration 1m30s",
            "chaperon run checkout.py --set services.shop.base_url=http://staging:8080",
            "chaperon run checkout.py --sessions buyers=50 --sessions readers=1k",
            "chaperon run checkout.py --warmup 5s --out csv --out json=report.json --tag nightly",
            "chaperon run checkout.py --detach",
            "chaperon run checkout.py --listen 192.0.2.10:7700 --expect 3",
            "chaperon run checkout.py --listen 192.0.2.10:7700 --fleet ssh://load1,load2",
            "chaperon run checkout.py --listen 192.0.2.10:7700 \\\n"
            "      --fleet dask://tls://scheduler:8786 --nodes 4",
        ),
    ),
    "quick": Command(
        "load one URL, without a scenario",
        "Load one URL from many sessions, for a time or for a number of requests.\n"
        "Redirects are not followed.",
        (
            "chaperon quick http://127.0.0.1:7070/",
            "chaperon quick localhost:7070/json -c 100 -d 30s",
            "chaperon quick https://127.0.0.1:8443/ -n 10k -k",
            "chaperon quick localhost:7070/echo -b '{\"a\": 1}' "
            "-H 'Content-Type: application/json'",
            "chaperon quick localhost:7070/echo -m PUT -b @body.bin --out json=quick.json",
        ),
    ),
    "try": Command(
        "run one session once and show every exchange",
        "Run one session once, with every request, response, timing and check: for writing\n"
        "a scenario.",
        (
            "chaperon try scenarios/checkout.py",
            "chaperon try checkout.py:Checkout --set base_url=http://127.0.0.1:7070",
        ),
    ),
    "list": Command(
        "list load tests and scenarios",
        "List the load tests and scenarios in ./scenarios, your own folder and the bundled\n"
        "ones, or in PATH. Their code is not run.",
        ("chaperon list", "chaperon list tests/load"),
    ),
    "target": Command(
        "serve the bundled target to try things on",
        "Serve the bundled target: /, /json, /echo, /login, /slow?ms=, /status/N, /flaky?rate=,\n"
        "/bytes/N, /chunked, /stats (exact counts), /ws/echo.",
        ("chaperon target", "chaperon target --port 0"),
    ),
    "serve": Command(
        "keep a queue of load tests, with an HTTP API",
        "Keep a queue of load tests: one runs at a time, the next starts when it ends. The queue\n"
        "survives a restart. The HTTP API wants a token, from CHAPERON_API_TOKEN or a file; the\n"
        "terminal UI of the same user needs none.",
        (
            "export CHAPERON_API_TOKEN=$(openssl rand -hex 24)",
            "chaperon serve",
            "chaperon serve --folder load --allow-target '*.staging.example.com'",
            "chaperon serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem "
            "--allow-host load.example.com",
            "curl -u chaperon:$CHAPERON_API_TOKEN http://127.0.0.1:7080/load_tests",
        ),
    ),
    "worker": Command(
        "lend this machine to a run on another one",
        "Join a run that was started with --listen: this machine gets a part of its sessions,\n"
        "and what it measures goes into the run's report. `chaperon run` prints the line to use.\n"
        "Ctrl-C leaves gracefully.",
        (
            "chaperon worker join 192.0.2.10:7700 --run 20261121-2045-shop-a1b2 \\\n"
            "      --pin sha256:... --token-file agent.token",
            "ssh host chaperon worker join ... --token-file - < agent.token",
        ),
    ),
    "report": Command(
        "show or export the report of a run",
        examples=(
            "chaperon report",
            "chaperon report 20261121-2057 --out csv=run.csv --out-option csv.separator=';'",
            "chaperon report --out influxdb=http://127.0.0.1:8086/mydb",
            "chaperon report --out influxdb=http://127.0.0.1:8086 \\\n"
            "      --out-option influxdb.bucket=load --out-option influxdb.org=acme",
            "chaperon report --out s3=my-bucket/load --out-option s3.formats=json,csv",
            "chaperon report 20261121-2057 --json | jq .totals",
        ),
    ),
    "runs": Command(
        "list, remove and prune runs",
        examples=(
            "chaperon runs",
            "chaperon runs rm 20261121-2057",
            "chaperon runs prune --keep 10",
            "chaperon runs prune --older-than 7d",
        ),
    ),
    "recover": Command(
        "make the report of a run whose engine was killed",
        examples=(
            "chaperon recover 20261121-2057",
            "chaperon recover 20261121-2057 --agent-journal load1.journal",
        ),
    ),
    "version": Command("print the version"),
}
