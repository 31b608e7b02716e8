"""Agents as pods: the manifests of an Indexed Job, a Secret and a Service, for `kubectl apply`.

    Secret    one token for each index: pod 3 gets the token of agent `pod-3`, worth nothing else
    Service   the name under which pods dial the run; an EndpointSlice or an external name behind it
    Job       one pod for each index, none of them twice

Pure data in JSON, which kubectl takes as it takes YAML. Nothing here talks to a cluster: whoever
applies the manifests has the rights to do so, and the command that starts a run needs none.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import shlex
from collections.abc import Callable
from typing import Any

from chaperon_engine.errors import UserError
from chaperon_engine.fleet.addresses import is_loopback
from chaperon_engine.fleet.order import Order
from chaperon_engine.fleet.protocol import Happening, Note
from chaperon_engine.runs.files import write_atomic
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

START_TIMEOUT_S = 600.0
"""Somebody has to apply the manifests, and nodes have to fetch the image."""
LONGEST_S = 24 * 3600.0
"""Of a run that says no other end."""
BEYOND_S = 900.0
"""For the last deliveries, before pods of a run that has gone are ended."""
CLEANED_AFTER_S = 3600
USER = 10001
TOKENS = "/run/chaperon-tokens"
HOME = "/var/lib/chaperon"
MEMORY_MIB = 256
"""Asked for by each worker and by the agent."""
MEMORY_LIMIT = 4
"""Times of that it may take."""
MAX_JOB_NAME = 52
"""A pod's host name is that of the job and its index, at most 63 characters."""

Manifest = dict[str, Any]

_START = 'exec "$@" --token-file - < "' + TOKENS + '/$CHAPERON_INDEX"'
"""Secrets are readable for the pod's group, which a token file must not be."""


class KubernetesFleet:
    """Renders; a person applies."""

    is_watched = False
    start_timeout_s: float | None = START_TIMEOUT_S

    def __init__(
        self, nodes: int, image: str, cores: int, *, command: list[str], longest_s: float | None
    ):
        """`cores`: of each pod, which has one worker for each; `command`: how Chaperon is called
        in the image; `longest_s`: of the run, its wait for agents included."""
        self._nodes = nodes
        self._image = image
        self._cores = cores
        self._command = command
        self._longest_s = LONGEST_S if longest_s is None else longest_s

    @property
    def agents(self) -> int:
        """One for each pod."""
        return self._nodes

    def plan(self, order: Order) -> str:
        """See `protocol.Fleet`."""
        return json.dumps(self.manifests(order), indent=2)

    async def prepare(self) -> None:
        """See `protocol.Fleet`."""

    async def place(self, order: Order, report: Callable[[Happening], None]) -> None:
        """See `protocol.Fleet`."""
        path = order.folder / "kubernetes.json"
        try:
            write_atomic(path, f"{self.plan(order)}\n".encode())
        except OSError as error:
            raise UserError(f"{visible(path)} cannot be written: {error.strerror}") from None
        label = f"app.kubernetes.io/instance={_job_name(order.run_id)}"
        report(Note(
            f"Apply the manifests within {show_duration(START_TIMEOUT_S)}; they hold the tokens of "
            f"this run:\n  kubectl apply -f {shlex.quote(str(path))}\nand after the run:\n"
            f"  kubectl delete job,secret,service,endpointslice -l {label}"
        ))  # fmt: skip

    async def close(self, patience_s: float) -> None:
        """See `protocol.Fleet`."""

    def manifests(self, order: Order) -> Manifest:
        """All of it, as one List."""
        name = _job_name(order.run_id)
        # With port 0 a run that is not started has not taken one yet.
        host, port = order.host, order.port or 1
        return {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                self._secret(name, order),
                *_service(name, host, port),
                self._job(name, order, port),
            ],
        }

    def _secret(self, name: str, order: Order) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": _metadata(name),
            "type": "Opaque",
            "immutable": True,
            "stringData": {
                str(index): order.secret(_agent_name(index)) for index in range(self._nodes)
            },
        }

    def _job(self, name: str, order: Order, port: int) -> Manifest:
        memory = MEMORY_MIB * (self._cores + 1)
        words = order.words(_agent_name("$(CHAPERON_INDEX)"), address=f"{name}:{port}")
        # Standard input is named by the shell, and a pod knows nothing of its neighbours' cores.
        words = [*words[: words.index("--token-file")], "--no-pin"]
        index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
        container = {
            "name": "agent",
            "image": self._image,
            "command": ["/bin/sh", "-c", _START, "sh"],
            "args": [*self._command, *words],
            "env": [
                {
                    "name": "CHAPERON_INDEX",
                    "valueFrom": {"fieldRef": {"fieldPath": index}},
                },
                {"name": "CHAPERON_HOME", "value": f"{HOME}/home"},
                {"name": "HOME", "value": HOME},
                {"name": "TMPDIR", "value": HOME},
                {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            ],
            "resources": {
                # Whole cores, as many as asked for: a worker that is throttled measures itself.
                "requests": {"cpu": str(self._cores), "memory": f"{memory}Mi"},
                "limits": {"cpu": str(self._cores), "memory": f"{MEMORY_LIMIT * memory}Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "tokens", "mountPath": TOKENS, "readOnly": True},
                {"name": "home", "mountPath": HOME},
            ],
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    # A node that takes no pods would else keep all others from having two.
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": _labels(name)},
                }
            ],
            "containers": [container],
            "volumes": [
                {"name": "tokens", "secret": {"secretName": name, "defaultMode": 0o440}},
                {"name": "home", "emptyDir": {}},
            ],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": _metadata(name),
            "spec": {
                "completionMode": "Indexed",
                "completions": self._nodes,
                "parallelism": self._nodes,
                "backoffLimit": 0,
                "activeDeadlineSeconds": int(self._longest_s + BEYOND_S),
                "ttlSecondsAfterFinished": CLEANED_AFTER_S,
                "template": {"metadata": {"labels": _labels(name)}, "spec": pod},
            },
        }


def check_reachable(host: str) -> None:
    """Whether pods can dial a run that listens on this address or name. Raises UserError."""
    shown = visible(host, 100)
    if is_loopback(host) or (_is_address(host) and ipaddress.ip_address(host).is_unspecified):
        raise UserError(
            f"--listen {shown} says not where pods find this machine: write the address or the "
            "full name at which they reach it"
        )
    if not _is_address(host) and not _DOMAIN.fullmatch(host):
        raise UserError(
            f"--listen {shown}: a name that pods can look up has a domain, as in load.example.com; "
            "an address is as good"
        )


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")


def _service(name: str, host: str, port: int) -> list[Manifest]:
    """A name within the cluster for a run outside of it, or in one of its pods."""
    ports = [{"name": "chaperon", "port": port, "protocol": "TCP"}]
    service: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(name)}
    if not _is_address(host):
        service["spec"] = {"type": "ExternalName", "externalName": host.lower()}
        return [service]
    family = f"IPv{ipaddress.ip_address(host).version}"
    service["spec"] = {"ipFamilyPolicy": "SingleStack", "ipFamilies": [family], "ports": ports}
    slice_: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _metadata(name),
        "addressType": family,
        "endpoints": [{"addresses": [host]}],
        "ports": ports,
    }
    slice_["metadata"]["labels"] |= {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "chaperon",
    }
    return [service, slice_]


def _metadata(name: str) -> Manifest:
    return {"name": name, "labels": _labels(name)}


def _labels(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "chaperon",
        "app.kubernetes.io/component": "agent",
        "app.kubernetes.io/instance": name,
    }


def _agent_name(index: int | str) -> str:
    return f"pod-{index}"


def _job_name(run_id: str) -> str:
    """A label for DNS, different for different runs."""
    plain = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    name = f"chaperon-{plain}"
    if len(name) <= MAX_JOB_NAME and plain == run_id:
        return name
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{name[: MAX_JOB_NAME - 9].rstrip('-')}-{digest}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
