"""Redact where processes ran: names and IDs of containers, pods, namespaces and units are replaced by numbered ones,
equal values by equal ones, in the forms that `calls/workloads.py` reads."""

from __future__ import annotations

from httpcapture import Process

from ..calls.workloads import Workload, parse_workload

_UID = "%08x-0000-0000-0000-000000000000"


class WorkloadMasks:
    """Mask workloads, and number what they hold."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}  # by field and value
        self._count: dict[str, int] = {}  # numbers of each field

    def __len__(self) -> int:
        """Return how many values have been masked."""
        return len(self._numbers)

    def masked(self, process: Process) -> tuple[bytes, bytes]:
        """Return `cgroups` and `container_name` of the process as they are given away."""
        workload = parse_workload(process.cgroups, process.container_name)
        if not workload.is_known:
            return b"", b""
        cgroups, name = self._cgroups(workload), self._name(workload)
        return f"0::{cgroups or '/'}\n".encode(), name.encode()

    def _cgroups(self, workload: Workload) -> str:
        pod = f"/pod{_UID % self._number('pod_uid', workload.pod_uid)}" if workload.pod_uid else ""
        if workload.container_id:
            return f"{pod}/{self._id(workload)}"
        suffix = workload.unit.rpartition(".")[2]
        return pod + (f"/unit-{self._number('unit', workload.unit)}.{suffix}" if workload.unit else "")

    def _name(self, workload: Workload) -> str:
        container = f"container-{self._number('container', workload.container)}" if workload.container else ""
        if not workload.pod:
            return container
        names = (self._number(field, getattr(workload, field)) for field in ("pod", "namespace"))
        return "pod-{}_namespace-{}_{}-{}.log".format(*names, container, self._id(workload))

    def _id(self, workload: Workload) -> str:
        """Return a made-up ID that begins with its number, since the first digits are what is shown."""
        return f"{self._number('container_id', workload.container_id):012x}".ljust(64, "0")

    def _number(self, field: str, value: str) -> int:
        if (field, value) not in self._numbers:
            self._count[field] = self._numbers[field, value] = self._count.get(field, 0) + 1
        return self._numbers[field, value]
