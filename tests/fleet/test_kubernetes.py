"""The manifests: the schema of the API, what a shell makes of them, and what they give away."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from chaperon_engine.client.archive import load_report
from chaperon_engine.client.describing import child_environment
from chaperon_engine.errors import UserError
from chaperon_engine.fleet.kubernetes import TOKENS, KubernetesFleet, check_reachable
from chaperon_engine.fleet.order import Order, dry_order, order_of
from chaperon_engine.fleet.protocol import Happening, Note
from chaperon_engine.protocol.token import RunSecret, Token
from tests.distributed.conftest import Start, home, scenario, server, start
from tests.engine.conftest import CountingServer

__all__ = ["home", "scenario", "server", "start"]

AGENTS = RunSecret(bytes(range(32))).token("agent")
VERSIONS = ("1.31", "1.34", kubernetes_validate.latest_version())


def fleet(nodes: int = 3, **changes: Any) -> KubernetesFleet:
    settings: dict[str, Any] = {"command": ["chaperon"], "longest_s": 600.0, **changes}
    return KubernetesFleet(nodes, "registry.example.com/load:1", 2, **settings)


def order(address: str = "192.0.2.10:7700", run_id: str = "20261122-shop-4b59") -> Order:
    return Order(address, run_id, "sha256:" + "0" * 64, Path("/nowhere"), AGENTS)


def parts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in found["items"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "address", ["192.0.2.10:7700", "[2001:db8::1]:7700", "load.example.com:7700"]
)
def test_every_manifest_is_what_the_api_takes(version: str, address: str) -> None:
    items = fleet().manifests(order(address))["items"]
    for item in items:
        kubernetes_validate.validate(item, version, strict=True)
    outside = ["EndpointSlice"] if "example" not in address else []
    assert [item["kind"] for item in items] == ["Secret", "Service", *outside, "Job"]


def test_what_a_dry_run_shows_is_valid_too_and_holds_no_token() -> None:
    shown = fleet().plan(dry_order("192.0.2.10:0"))
    for item in json.loads(shown)["items"]:
        kubernetes_validate.validate(item, VERSIONS[-1], strict=True)
    assert set(parts(json.loads(shown))["Secret"]["stringData"].values()) == {"***"}


def test_a_pod_is_started_once_for_each_index_and_ends_in_time() -> None:
    job = parts(fleet(5).manifests(order()))["Job"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 5, 5)
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["activeDeadlineSeconds"] == 1500


def test_a_pod_has_no_rights_that_it_does_not_need() -> None:
    pod = parts(fleet().manifests(order()))["Job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"]["cpu"] == container["resources"]["limits"]["cpu"]
    writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"home"}
    assert {"name": "home", "emptyDir": {}} in pod["volumes"]


def test_each_index_has_a_token_of_its_own_and_it_stands_only_in_the_secret() -> None:
    found = parts(fleet().manifests(order()))
    tokens = found["Secret"].pop("stringData")
    assert tokens == {str(n): AGENTS.of_agent(f"pod-{n}").text for n in range(3)}
    rest = json.dumps(found)
    assert AGENTS.text not in rest
    assert not any(token in rest for token in tokens.values())
    assert AGENTS.text not in tokens.values()


@pytest.mark.parametrize(
    "run_id", ["20261122-shop-4b59", "20261122-" + "long" * 20 + "-4b59", "Shop_Test.x-4b59", "ü"]
)
def test_names_are_labels_with_room_for_the_index(run_id: str) -> None:
    found = fleet().manifests(order(run_id=run_id))
    (name,) = {item["metadata"]["name"] for item in found["items"]}
    assert len(f"{name}-4095") <= 63
    assert name.replace("-", "a").isalnum()
    assert name == name.lower()
    assert name.isascii()
    assert not name.endswith("-")


def test_runs_with_long_names_have_different_names_in_the_cluster() -> None:
    ids = ["run-" + "long" * 20 + end for end in ("-1", "-2")]
    names = {fleet().manifests(order(run_id=each))["items"][0]["metadata"]["name"] for each in ids}
    assert len(names) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "::1", "localhost", "mymachine"])
def test_an_address_that_pods_cannot_dial_is_refused(host: str) -> None:
    with pytest.raises(UserError, match="--listen"):
        check_reachable(host)


@pytest.mark.parametrize("host", ["192.0.2.10", "2001:db8::1", "load.example.com"])
def test_an_address_that_pods_can_dial_is_taken(host: str) -> None:
    check_reachable(host)


async def test_the_manifests_of_a_run_are_private_and_the_commands_are_told(tmp_path: Path) -> None:
    said: list[Happening] = []
    placed = Order("192.0.2.10:7700", "r-1", "sha256:" + "0" * 64, tmp_path, AGENTS)
    await fleet().place(placed, said.append)
    path = tmp_path / "kubernetes.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["kind"] == "List"
    (note,) = said
    assert isinstance(note, Note)
    assert f"kubectl apply -f {path}" in note.text
    assert "kubectl delete job,secret,service,endpointslice -l" in note.text


@pytest.mark.e2e
async def test_what_a_pod_runs_joins_the_run(
    server: CountingServer, scenario: Any, start: Start, tmp_path: Path
) -> None:
    launched = await start(scenario(duration="500ms"), workers=0, expect=2)
    words = await launched.line()
    placed = order_of(" ".join(words), words[-1])
    command = [sys.executable, "-m", "chaperon_engine.cli"]
    found = parts(fleet(2, command=command).manifests(placed))
    secrets = tmp_path / "secret"
    secrets.mkdir()
    for key, text in found["Secret"]["stringData"].items():
        (secrets / key).write_text(text)
        (secrets / key).chmod(0o440)  # as a mounted secret with a group is
    (container,) = found["Job"]["spec"]["template"]["spec"]["containers"]
    assert Token.parse((secrets / "0").read_text()) != placed.token
    dialled = f"{found['Service']['metadata']['name']}:{placed.port}"
    pods = []
    for index in range(2):
        told = [each.replace(TOKENS, str(secrets)) for each in container["command"]]
        told += [
            each.replace("$(CHAPERON_INDEX)", str(index)).replace(dialled, placed.address)
            for each in container["args"]
        ]
        environment = {
            **child_environment(),
            "CHAPERON_INDEX": str(index),
            "CHAPERON_HOME": os.fspath(tmp_path / f"home{index}"),
        }
        pods.append(await asyncio.create_subprocess_exec(*told, env=environment))
    await launched.last()
    assert [await pod.wait() for pod in pods] == [0, 0]
    report = load_report(launched.directory.id)
    assert {worker.agent for worker in report.run.workers} == {"pod-0", "pod-1"}
    assert report.totals.requests == server.requests > 0
