"""Tell where the processes of a capture ran: in which container, pod or systemd unit.

A capture has the control groups of each process, and what the host calls its container (format/FORMAT.md, PROCESS). The
forms of both are those of the container runtimes. What does not have such a form is not known, and every text is
printable. Columns of calls have the number of a workload among all of them; 0 if it is not known.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Meta, Process
from httpcapture.cgroups import container_id, paths

from ..common.interning import Interner
from ..common.printable import printable
from .process_keys import ProcessKey
from .schema import ColumnsByName

SHOWN_DIGITS = 12
"""How many digits of a container's ID are shown, as runtimes do, and are the fewest that a filter takes."""

Numbers = npt.NDArray[np.uint32]
_UID = rb"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"  # a static pod has 32 digits
_POD = re.compile(rb"(?:.*-)?pod(%b)(?:\.slice(?::.*)?)?|(?:.*-)?libpod_pod_([0-9a-f]{64})(?:\.slice)?" % _UID)
_UNIT = re.compile(rb".+\.(?:service|scope)")
_LONGEST_LINK = 255  # bytes of a file's name; the kubelet cuts a longer one
_POD_PARTS, _KUBERNETES = 3, b"k8s_"


class Workload(NamedTuple):
    """Say where a process ran. What is not known, or does not apply, is empty."""

    container_id: str = ""
    container: str = ""  # its name
    namespace: str = ""  # of Kubernetes
    pod: str = ""  # its name
    pod_uid: str = ""
    unit: str = ""  # of systemd, of a process outside of containers
    is_known: bool = True

    @property
    def container_text(self) -> str:
        """Return the container's name, else what is shown of its ID."""
        return self.container or self.container_id[:SHOWN_DIGITS]

    @property
    def pod_text(self) -> str:
        """Return the pod as `NAMESPACE/NAME`, else its UID."""
        return f"{self.namespace}/{self.pod}" if self.pod else self.pod_uid

    @property
    def text(self) -> str:
        """Return all of it as facts, `Container: web (0123456789ab), Pod: shop/web-7d9f`; empty if there are none."""
        id = f" ({self.container_id[:SHOWN_DIGITS]})" if self.container else ""
        known = (("Container", self.container_text + id), ("Pod", self.pod_text), ("Unit", self.unit))
        return ", ".join(f"{name}: {value}" for name, value in known if value)

    @property
    def name(self) -> str:
        """Return the shortest text that tells it from others: `shop/web-7d9f: web`, `web`, `nginx.service`."""
        parts = (self.pod_text, self.container_text or self.unit)
        return ": ".join(filter(None, parts)) or ("none" if self.is_known else "not known")


NOT_KNOWN = Workload(is_known=False)
"""Stands for a workload that the capture does not tell."""


def parse_workload(cgroups: bytes, container_name: bytes) -> Workload:
    """Return where the process with this /proc/PID/cgroup ran. `container_name` is what the host calls the container,
    as a capture has it."""
    if not cgroups:
        return NOT_KNOWN
    id = container_id(cgroups)
    container, namespace, pod = _names(container_name, id) if id else (b"", b"", b"")
    parts = [part for path in paths(cgroups) for part in reversed(path.split(b"/"))]
    pods = (match[1] or match[2] for match in map(_POD.fullmatch, parts) if match)
    units = (part for part in parts if not id and _UNIT.fullmatch(part))
    uid = next(pods, b"").replace(b"_", b"-")
    return Workload(
        container_id=id.decode(),
        container=printable(container),
        namespace=printable(namespace),
        pod=printable(pod),
        pod_uid=uid.decode(),
        unit=printable(next(units, b"")),
    )


def _names(name: bytes, id: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the names of container, namespace and pod, as far as the name of a container has them."""
    suffix = b"-%b.log" % id
    if name.endswith(suffix):
        parts = name[: -len(suffix)].split(b"_")
        if len(parts) != _POD_PARTS:
            return b"", b"", b""
        pod, namespace, container = parts
        return (container if len(name) < _LONGEST_LINK else b""), namespace, pod
    plain = name[name.startswith(b"/") :]
    if plain.startswith(_KUBERNETES) and plain.count(b"_") >= _POD_PARTS:
        _, container, pod, namespace = plain.split(b"_")[:4]
        return container, namespace, pod
    return plain, b"", b""


class Workloads:
    """Hold where the processes of one capture ran, as far as they have been added."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._numbers = {NOT_KNOWN: 0}
        self._of_process: dict[ProcessKey, int] = {}

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._numbers) - 1

    @property
    def values(self) -> list[Workload]:
        """Return the workloads by their numbers. The first one is NOT_KNOWN."""
        return list(self._numbers)

    def add(self, process: Process) -> None:
        """Add a record of a process. The first that tells it decides."""
        workload = parse_workload(process.cgroups, process.container_name)
        if workload.is_known:
            key = ProcessKey.of(self._meta, process.pid, process.start_ns)
            self._of_process.setdefault(key, self._numbers.setdefault(workload, len(self._numbers)))

    def numbers(self, calls: ColumnsByName) -> Numbers:
        """Return the number of the workload of each call, which need the columns `pid` and `process_start`."""
        if not self:
            return np.zeros(len(calls["pid"]), np.uint32)
        distinct = Interner(2)
        process_of_call = distinct.intern(calls["pid"].astype(np.uint64), calls["process_start"].astype(np.uint64))
        keys = (ProcessKey.of(self._meta, *each) for each in distinct.values.T.tolist())
        return np.array([self._of_process.get(key, 0) for key in keys], np.uint32)[process_of_call]
