"""Look up what the host calls a container, without asking its runtime: in the files that Kubernetes' kubelet, Docker,
Podman and CRI-O keep.

The files are those of the host, whatever mount namespace the recorder or the container has: they are read through the
root folder of process 1, and, if a name is not there or may not be read, through the recorder's own. Containers decide
what is in parts of them, so they are not trusted, and what is read of them is bounded.
"""

from __future__ import annotations

import json
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Any

from httpcapture import MAX_PATH
from httpcapture.cgroups import container_id

from . import tuning

_ROOTS = ("/proc/1/root", "")
_LOGS = "var/log/containers"  # legacyLogSymlink, kubernetes/pkg/kubelet/kuberuntime/legacy.go
_DOCKER = "var/lib/docker/containers/{}/config.v2.json"
_STORED = "var/lib/containers/storage/overlay-containers/containers.json"


class ContainerNames:
    """Remember the names of containers by their IDs. `roots` are the root folders in which files are looked for."""

    def __init__(self, roots: Sequence[str] = _ROOTS) -> None:
        self._roots = roots
        self._known: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()  # by ID: a name, and when it was looked up

    def name(self, cgroups: bytes, now_ns: int) -> bytes:
        """Return the name of the container in which the process of this /proc/PID/cgroup runs, in the form of the file
        that has it (format/FORMAT.md, PROCESS), or b"" if it is not known. `now_ns` is a time on CLOCK_MONOTONIC."""
        id = container_id(cgroups)
        if not id:
            return b""
        name, looked_up_ns = self._known.get(id, (b"", -tuning.CONTAINER_NAME_RETRY_NS))
        if not name and now_ns - looked_up_ns >= tuning.CONTAINER_NAME_RETRY_NS:
            name = self._look_up(id.decode())
            self._known[id] = name, now_ns
        if len(self._known) > tuning.MAX_KNOWN_CONTAINERS:
            self._known.popitem(last=False)
        return name

    def _look_up(self, id: str) -> bytes:
        names = (look_up(root, id) for root in self._roots for look_up in (_of_log, _of_docker, _of_storage))
        return next((name for name in names if 0 < len(name) <= MAX_PATH), b"")


def _of_log(root: str, id: str) -> bytes:
    """Return the name of the link to the container's log."""
    try:
        with os.scandir(os.fsencode(f"{root}/{_LOGS}")) as entries:
            some = islice(entries, tuning.MAX_LISTED_LOGS)
            return next((entry.name for entry in some if entry.name.endswith(f"-{id}.log".encode())), b"")
    except OSError:
        return b""


def _of_docker(root: str, id: str) -> bytes:
    found = _json(f"{root}/{_DOCKER.format(id)}")
    return _text(found.get("Name")) if isinstance(found, dict) else b""


def _of_storage(root: str, id: str) -> bytes:
    found = _json(f"{root}/{_STORED}")
    containers = found if isinstance(found, list) else []
    names = (one.get("names") for one in containers if isinstance(one, dict) and one.get("id") == id)
    return next((_text(some[0]) for some in names if isinstance(some, list) and some), b"")


def _json(path: str) -> Any:
    """Return what a file of the host holds, or None if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            content = file.read(tuning.MAX_CONTAINERS_FILE + 1)
        return json.loads(content) if len(content) <= tuning.MAX_CONTAINERS_FILE else None
    except (OSError, ValueError, RecursionError):
        return None


def _text(value: object) -> bytes:
    """Return a text as UTF-8, without what that cannot encode; b"" if the value is no text."""
    return value.encode("utf-8", "ignore") if isinstance(value, str) else b""
