"""Check which name a container gets: that of the file in which its runtime keeps it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from httprec import tuning
from httprec.containers import ContainerNames

ID, OTHER = "0f" * 32, "a1" * 32
CGROUPS = f"12:pids:/\n0::/system.slice/docker-{ID}.scope\n".encode()
SECOND = 1_000_000_000


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def docker(host: Path, id: str = ID) -> Path:
    return host / f"var/lib/docker/containers/{id}/config.v2.json"


def storage(host: Path) -> Path:
    return host / "var/lib/containers/storage/overlay-containers/containers.json"


def link(host: Path, name: str) -> None:
    folder = host / "var/log/containers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to("/var/log/pods/shop_web-7d9f_uid/web/0.log")  # which need not exist here


def name(host: Path, cgroups: bytes = CGROUPS) -> bytes:
    return ContainerNames([str(host)]).name(cgroups, 0)


def test_docker_names_its_container(tmp_path: Path) -> None:
    write(docker(tmp_path), {"ID": ID, "Name": "/web", "Config": {"Env": ["TOKEN=secret"]}})
    assert name(tmp_path) == b"/web"


def test_the_kubelet_names_pod_namespace_and_container_by_a_link(tmp_path: Path) -> None:
    link(tmp_path, f"web-6c_shop_web-{OTHER}.log")
    link(tmp_path, f"web-7d9f_shop_web-{ID}.log")
    assert name(tmp_path) == f"web-7d9f_shop_web-{ID}.log".encode()


def test_podman_and_cri_o_name_their_container_in_one_file(tmp_path: Path) -> None:
    write(storage(tmp_path), [{"id": OTHER, "names": ["db"]}, {"id": ID, "names": ["web", "alias"]}])
    assert name(tmp_path) == b"web"


def test_a_name_that_the_first_root_does_not_have_is_that_of_the_next(tmp_path: Path) -> None:
    write(docker(tmp_path / "own"), {"Name": "/web"})
    roots = [str(tmp_path / name) for name in ("host", "own")]
    assert ContainerNames(roots).name(CGROUPS, 0) == b"/web"
    write(docker(tmp_path / "host"), {"Name": "/of-host"})
    assert ContainerNames(roots).name(CGROUPS, 0) == b"/of-host"


def test_a_process_outside_of_containers_has_no_name(tmp_path: Path) -> None:
    write(docker(tmp_path), {"Name": "/web"})
    assert name(tmp_path, b"0::/system.slice/nginx.service\n") == b""


def test_a_name_that_was_found_stays_after_the_container_was_removed(tmp_path: Path) -> None:
    write(docker(tmp_path), {"Name": "/web"})
    names = ContainerNames([str(tmp_path)])
    assert names.name(CGROUPS, 0) == b"/web"
    docker(tmp_path).unlink()
    assert names.name(CGROUPS, 100 * SECOND) == b"/web"


def test_a_name_that_is_written_later_is_found_later(tmp_path: Path) -> None:
    names = ContainerNames([str(tmp_path)])
    assert names.name(CGROUPS, 5 * SECOND) == b""
    link(tmp_path, f"web-7d9f_shop_web-{ID}.log")
    assert names.name(CGROUPS, 5 * SECOND + 1) == b""  # it is not looked for all the time
    assert names.name(CGROUPS, 6 * SECOND) == f"web-7d9f_shop_web-{ID}.log".encode()


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"Name": 7}', b"[]", b'{"Name": ""}', b"\xff\xfe"])
def test_a_file_that_names_nothing_gives_no_name(tmp_path: Path, content: bytes) -> None:
    for path in (docker(tmp_path), storage(tmp_path)):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    assert name(tmp_path) == b""


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    docker(tmp_path).parent.mkdir(parents=True)
    os.mkfifo(docker(tmp_path))
    docker_of_other = docker(tmp_path, OTHER)
    docker_of_other.mkdir(parents=True)
    assert name(tmp_path) == name(tmp_path, CGROUPS.replace(ID.encode(), OTHER.encode())) == b""


def test_a_file_or_name_that_is_too_long_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(docker(tmp_path), {"Name": "/" + "a" * 16_384})
    assert name(tmp_path) == b""
    write(docker(tmp_path), {"Name": "/web"})
    monkeypatch.setattr(tuning, "MAX_CONTAINERS_FILE", 14)
    assert docker(tmp_path).stat().st_size == 16
    assert name(tmp_path) == b""


def test_few_containers_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_KNOWN_CONTAINERS", 2)
    names = ContainerNames([str(tmp_path)])
    for id in ("01" * 32, "02" * 32, "03" * 32):
        write(docker(tmp_path, id), {"Name": f"/{id[:2]}"})
        assert names.name(f"0::/docker/{id}\n".encode(), 0) == f"/{id[:2]}".encode()
    docker(tmp_path, "01" * 32).unlink()
    docker(tmp_path, "03" * 32).unlink()
    assert names.name(f"0::/docker/{'01' * 32}\n".encode(), 0) == b""
    assert names.name(f"0::/docker/{'03' * 32}\n".encode(), 0) == b"/03"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(ID),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "names", "Name"]) | st.text(), inner),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_json_gives_a_name_or_none(tmp_path: Path, content: object) -> None:
    write(docker(tmp_path), content)
    write(storage(tmp_path), content)
    assert name(tmp_path) in {b"", *(text.encode("utf-8", "ignore") for text in texts(content))}


def texts(content: object) -> set[str]:
    if isinstance(content, str):
        return {content}
    inner = content if isinstance(content, list) else content.values() if isinstance(content, dict) else ()
    return set().union(*map(texts, inner))
