"""Find the ID of a container in the control groups of a process.

Docker, containerd, CRI-O, Podman and Kubernetes name a container by 64 hexadecimal digits and put them last into a
part of the path of its control group: `/docker/ID`, `/system.slice/docker-ID.scope`, `/kubepods/pod.../ID`,
`cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, `...slice:cri-containerd:ID`. The recorder looks up the
name of that container, and the reporter shows it, so both have to mean the same one.
"""

from __future__ import annotations

import re

_ID = re.compile(rb"(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?")
_MONITOR = b"-conmon-"  # the group of the process that watches a container (Podman, CRI-O)


def paths(cgroups: bytes) -> list[bytes]:
    """Return the path of the process in each hierarchy of /proc/PID/cgroup (cgroups(7)), in its order."""
    parts = (line.split(b":", 2) for line in cgroups.split(b"\n"))
    return [part[2] for part in parts if len(part) == 3]


def container_id(cgroups: bytes) -> bytes:
    """Return the ID of the container in which the process of this /proc/PID/cgroup ran, or b"" if it names none. Of a
    container in a container it is the inner one's."""
    for path in paths(cgroups):
        for part in reversed(path.split(b"/")):
            match = _ID.fullmatch(part)
            if match and _MONITOR not in part:
                return match[1]
    return b""
