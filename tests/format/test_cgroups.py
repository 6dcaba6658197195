"""Check which container a control group names, with the paths that the runtimes' own documents and tests show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture.cgroups import container_id, paths

ID, OTHER = "0123456789abcdef" * 4, "f0" * 32
POD = "a8b1c5d2_7e4f_4c3b_9a1d_0f5e6c7b8a90"
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice"

CONTAINERS = [
    f"0::/docker/{ID}",  # Docker, driver cgroupfs
    f"0::/system.slice/docker-{ID}.scope",  # Docker, driver systemd
    f"0::/kubepods/besteffort/pod{POD.replace('_', '-')}/{ID}",  # Kubernetes, driver cgroupfs
    f"0::{SLICE}/cri-containerd-{ID}.scope",  # containerd, driver systemd
    f"0::{SLICE}/crio-{ID}.scope",  # CRI-O
    f"0::{SLICE}/crio-{ID}.scope/container",  # CRI-O with crun
    f"0::/system.slice/containerd.service/kubepods-burstable-pod{POD}.slice:cri-containerd:{ID}",
    f"0::/machine.slice/libpod-{ID}.scope/container",  # Podman
    f"0::/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope",  # a pod of Podman
    f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope",  # without root
    f"0::/libpod_parent/libpod-{ID}",
    f"0::/system.slice/nerdctl-{ID}.scope",
    f"0::/docker/{OTHER}/kubelet/kubepods/pod{POD}/{ID}",  # a container in a container (kind)
    f"0::/../../docker-{ID}.scope",  # read from another cgroup namespace
    f"13:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service",  # cgroup v1
    f"4:cpu,cpuacct:/kubepods/pod{POD}/{ID}\n3:cpuset:/",
    f"11:devices:/ecs/task/{ID}",
]
OTHERS = [
    "",
    "0::/",
    "0::/system.slice/nginx.service",
    "0::/user.slice/user-1000.slice/session-3.scope",
    f"0::/machine.slice/libpod-conmon-{ID}.scope",  # watches the container
    f"0::{SLICE}/crio-conmon-{ID}.scope",
    f"0::/system.slice/a{ID}.service",
    f"0::/docker/{ID}0",
    f"0::/docker/{ID[1:]}",
    f"0::/docker/{ID.upper()}",
    f"0:/docker/{ID}",
    ID,
]


@pytest.mark.parametrize("cgroups", CONTAINERS)
def test_a_control_group_names_the_container(cgroups: str) -> None:
    assert container_id(f"{cgroups}\n".encode()) == ID.encode()


@pytest.mark.parametrize("cgroups", OTHERS)
def test_another_control_group_names_no_container(cgroups: str) -> None:
    assert container_id(f"{cgroups}\n".encode()) == b""


def test_a_path_may_have_colons() -> None:
    assert paths(b"1:name=systemd:/a:b\n0::/c\nrubbish\n") == [b"/a:b", b"/c"]


@given(st.binary(max_size=200))
def test_any_bytes_name_a_container_or_none(cgroups: bytes) -> None:
    assert container_id(cgroups) == b""
    found = container_id(cgroups + f"\n0::/docker/{ID}".encode())
    assert found == ID.encode()
