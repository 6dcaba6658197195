"""Check in which container, pod or unit a call is said to have run, the filters that ask for it, and that a redacted
capture tells them apart without their names."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Process, Reader
from httpreport.calls.filters import Filters, Selection
from httpreport.calls.workload_filters import ContainerFilter, PodFilter
from httpreport.calls.workloads import NOT_KNOWN, Workload, parse_workload
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.cli.main import main
from httpreport.report.warnings import warnings_of
from support.recordings import MS, PROCESS_START_NS, Row, capture, process
from support.redactions import redacted
from support.reports import VALIDATOR, json_text, named, no_binary, reported, text_lines, written

ID, OTHER = "0123456789abcdef" * 4, "f0" * 32
POD, STATIC = "a8b1c5d2-7e4f-4c3b-9a1d-0f5e6c7b8a90", "33d556edd3ae8ef21980288cef77ae8b"
LINK = f"web-7d9f_shop_app-{ID}.log"
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice"
IN_POD = Workload(ID, "app", "shop", "web-7d9f", POD)


@pytest.mark.parametrize(
    ("cgroups", "name", "workload"),
    [
        (f"0::/system.slice/docker-{ID}.scope", "/web", Workload(ID, "web")),
        (f"0::/docker/{ID}", "", Workload(ID)),
        (f"0::/machine.slice/libpod-{ID}.scope/container", "web", Workload(ID, "web")),
        (
            f"0::/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope",
            "web",
            Workload(ID, "web", pod_uid=OTHER),
        ),
        (f"0::{SLICE}/cri-containerd-{ID}.scope", LINK, IN_POD),
        (f"0::{SLICE}/crio-{ID}.scope", f"k8s_app_web-7d9f_shop_{POD}_0", IN_POD),
        (f"0::/kubepods/burstable/pod{POD}/{ID}", f"/k8s_app_web-7d9f_shop_{POD}_0", IN_POD),
        (f"0::/system.slice/containerd.service/kubepods-pod{POD}.slice:cri-containerd:{ID}", LINK, IN_POD),
        (f"11:memory:/kubepods/pod{POD}/{ID}\n1:name=systemd:/kubepods/pod{POD}/{ID}\n0::/", LINK, IN_POD),
        (f"0::/kubepods/burstable/pod{STATIC}/{ID}", "", Workload(ID, pod_uid=STATIC)),
        (f"0::/docker/{OTHER}/kubelet/kubepods/pod{POD}/{ID}", LINK, IN_POD),
        ("0::/system.slice/nginx.service", "", Workload(unit="nginx.service")),
        ("0::/system.slice/system-pg.slice/pg@15.service/init.scope/x", "", Workload(unit="init.scope")),
        ("0::/user.slice/user-1000.slice/session-3.scope", "", Workload(unit="session-3.scope")),
        (f"0::/machine.slice/libpod-conmon-{ID}.scope", "", Workload(unit=f"libpod-conmon-{ID}.scope")),
        ("4:memory:/\n1:name=systemd:/system.slice/nova.service\n0::/", "", Workload(unit="nova.service")),
        ("0::/", "", Workload()),
        ("", "/web", NOT_KNOWN),
        ("0::/system.slice/nginx.service", "/web", Workload(unit="nginx.service")),  # a name without a container
        (f"0::/docker/{ID}", f"web-7d9f_shop_app-{OTHER}.log", Workload(ID, f"web-7d9f_shop_app-{OTHER}.log")),
        (f"0::/docker/{ID}", f"a_b-{ID}.log", Workload(ID)),
        (f"0::/docker/{ID}", f"{'p' * 182}_s_c-{ID}.log", Workload(ID, "", "s", "p" * 182)),  # 255: it may be cut
        (f"0::/docker/{ID}", "\x1b[31m", Workload(ID, r"\x1b[31m")),
    ],
)
def test_control_groups_and_a_name_tell_where_a_process_ran(cgroups: str, name: str, workload: Workload) -> None:
    assert parse_workload(f"{cgroups}\n".encode() if cgroups else b"", name.encode()) == workload


@given(st.binary(), st.binary())
def test_anything_is_read_as_printable_text(cgroups: bytes, name: bytes) -> None:
    for workload in (parse_workload(cgroups, name), parse_workload(b"0::/docker/%b\n" % ID.encode() + cgroups, name)):
        assert workload.text.isprintable() and workload.name.isprintable()


def ran(pid: int, cgroups: str, name: str = "") -> Process:
    return replace(process(pid=pid), cgroups=f"0::{cgroups}\n".encode(), container_name=name.encode())


PROCESSES = [
    ran(1, f"/docker/{ID}", "/web-1"),
    ran(2, f"{SLICE}/cri-containerd-{OTHER}.scope", f"web-7d9f_shop_app-{OTHER}.log"),
    ran(3, "/system.slice/nginx.service"),
    ran(4, "/"),
    ran(5, f"/kubepods/pod{STATIC}/{'cd' * 32}"),
    process(pid=6),  # its control groups are not known; and of pid 7, there is no record
    ran(8, f"/docker/{ID}", "/web-1"),
]
PROCESSES = [replace(one, start_ns=PROCESS_START_NS) for one in PROCESSES]
ROWS = [Row(pid=pid, sequence=pid, duration_ns=(100 + pid) * MS) for pid in range(1, 9)]
DATA = capture(ROWS, PROCESSES, threshold_ns=0, host="guest")


def loaded(filters: Filters, data: bytes = DATA) -> Recording:
    reader = Reader(io.BytesIO(data))
    return load(reader, Selection.of(reader.meta, 0, (), filters))


def containers(*texts: str) -> Filters:
    return Filters(containers=tuple(map(ContainerFilter.parse, texts)))


def pods(*texts: str) -> Filters:
    return Filters(pods=tuple(map(PodFilter.parse, texts)))


@pytest.mark.parametrize(
    ("filters", "hit", "not_known"),
    [
        (containers("web-1"), [1, 8], 3),  # that of pid 5 has a name that nobody knows
        (containers("web-*"), [1, 8], 3),
        (containers("app", "nginx.service"), [2, 3], 3),
        (containers(ID[:12]), [1, 8], 2),
        (containers(ID), [1, 8], 2),
        (containers(OTHER[:20], "*.service"), [2, 3], 3),
        (containers(ID[:11]), [], 3),
        (containers("web"), [], 3),
        (pods("web-7d9f"), [2], 3),
        (pods("shop/web-*"), [2], 3),
        (pods("*"), [2], 3),
        (pods("other/web-7d9f"), [], 3),
        (pods(POD), [2], 3),
        (pods(STATIC), [5], 2),
        (Filters(containers=(ContainerFilter("app"),), pods=(PodFilter("web-7d9f"),)), [2], 3),
    ],
)
def test_a_call_passes_only_if_it_is_known_where_it_ran(filters: Filters, hit: list[int], not_known: int) -> None:
    recording = loaded(filters)

    assert recording.calls["pid"].tolist() == hit
    assert recording.not_known == not_known


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (
            containers("x"),
            "; containers in the capture: not known (2, slowest 107 ms), web-1 (2, slowest 108 ms), app (1,",
        ),
        (pods("x"), "; pods in the capture: none (4, slowest 108 ms), not known (2, slowest 107 ms), 33d556edd3ae8ef2"),
    ],
)
def test_a_filter_that_matches_nothing_lists_where_calls_ran(filters: Filters, said: str) -> None:
    (warning,) = warnings_of(loaded(filters), Selection(0, (), filters))

    assert said in warning.text


def test_the_first_record_of_a_process_that_tells_it_decides() -> None:
    records = [process(pid=1), ran(1, "/a.service"), ran(1, "/b.service")]

    assert loaded(containers("a.service"), capture(ROWS[:1], records)).kept == 1


def json_calls(data: bytes) -> list[dict[str, Any]]:
    document = json.loads(json_text(reported(data), "run.cap"))
    VALIDATOR.validate(document)
    return sorted(document["calls"], key=lambda call: int(call["pid"]))


FIELDS = ("container", "container_id", "pod", "pod_uid", "pod_namespace", "unit")


def test_every_output_that_lists_calls_says_where_they_ran() -> None:
    first, second, third, fourth, *_ = json_calls(DATA)
    assert [first[name] for name in FIELDS] == ["web-1", ID, None, None, None, None]
    assert [second[name] for name in FIELDS] == ["app", OTHER, "web-7d9f", POD, "shop", None]
    assert [third[name] for name in FIELDS] == [*[None] * 5, "nginx.service"]
    assert [fourth[name] for name in FIELDS] == [None] * 6

    lines = text_lines(reported(DATA), "run.cap")
    assert f"Container: app ({OTHER[:12]}), Pod: shop/web-7d9f" in lines
    assert lines.count(f"Container: web-1 ({ID[:12]})") == 2
    assert "Unit: nginx.service" in lines
    assert f"Container: cdcdcdcdcdcd, Pod: {STATIC}" in lines

    rows = {row["pid"]: row for row in csv.DictReader(io.StringIO(written(named("csv"), reported(DATA)).decode()))}
    assert [rows["2"][name] for name in FIELDS if name != "pod_uid"] == ["app", OTHER, "web-7d9f", "shop", ""]


def test_a_capture_without_control_groups_says_nothing_of_containers() -> None:
    data = capture(ROWS, [process(pid=1)])

    assert not [line for line in text_lines(reported(data), "run.cap") if "Container" in line or "Unit" in line]
    assert {call[name] for call in json_calls(data) for name in FIELDS} == {None}


def run(tmp_path: Path, *arguments: str, others: dict[str, bytes] | None = None) -> Result:
    files = []
    for name, data in {"run.cap": DATA, **(others or {})}.items():
        files.append(str(tmp_path / name))
        Path(files[-1]).write_bytes(data)
    return CliRunner().invoke(main, [*files, "-o", str(tmp_path), "-f", *arguments])


def test_the_summary_adds_up_the_calls_by_where_they_ran(tmp_path: Path) -> None:
    lines = [line.rstrip() for line in run(tmp_path).stdout.splitlines()]
    first = next(number for number, line in enumerate(lines) if line.endswith("  container or unit")) + 1

    assert lines[first].endswith("  not known") and lines[first + 1].endswith("  web-1")
    assert lines[first + 1].split()[0] == "2" and "209 ms" in lines[first + 1]
    assert any(line.endswith("  shop/web-7d9f: app") for line in lines[first : first + 6])
    assert any(line.endswith("  none") for line in lines[first : first + 6])


def test_the_summary_leaves_this_out_where_nothing_ran_in_any(tmp_path: Path) -> None:
    plain = capture(ROWS, [ran(row.pid, "/") for row in ROWS], threshold_ns=0)

    assert "container or unit" not in run(tmp_path, others={"run.cap": plain}).stdout


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--container", "web-1"], 2),
        (["--container", "web-1", "--container", "nginx.service"], 3),
        (["--pod", "shop/*"], 1),
        (["--host", "guest"], 8),
        (["--host", "gu*", "--pid", "3"], 1),
    ],
)
def test_the_command_line_asks(arguments: list[str], kept: int, tmp_path: Path) -> None:
    result = run(tmp_path, *arguments)

    assert result.exit_code == 0, result.output
    assert f": {kept} call{'' if kept == 1 else 's'} (" in result.stdout


def test_a_host_that_was_not_recorded_is_named_with_those_that_were(tmp_path: Path) -> None:
    result = run(tmp_path, "--host", "other")

    assert result.exit_code == 1
    assert "host other" in result.stderr and "it was recorded on guest" in result.stderr


def test_only_the_captures_of_a_host_count_and_the_others_are_no_fault(tmp_path: Path) -> None:
    others = {"a.cap": capture(ROWS, PROCESSES, host="a", boot_id="a", run="a")}

    result = run(tmp_path, "--host", "a", others=others)

    assert result.exit_code == 0, result.output
    assert "a: 8 calls of 100 ms or more (host a), 0 lost" in result.stdout
    assert "guest: 0 calls (host a), out of 8, 0 lost" in result.stdout
    assert "warning" not in result.stdout


def test_redaction_replaces_containers_pods_and_units_equal_by_equal() -> None:
    data = redacted(DATA, no_binary)
    document = json_text(reported(data), "run.cap")
    calls = json_calls(data)

    for secret in ("web", "shop", "app", "nginx", POD, STATIC, ID[:12], OTHER[:12], "cdcd"):
        assert secret not in document.replace("nova", "")
    assert [calls[0][name] for name in FIELDS] == [calls[7][name] for name in FIELDS]
    assert [calls[1][name] for name in FIELDS[:1]] == ["container-2"]
    assert (calls[1]["pod"], calls[1]["pod_namespace"]) == ("pod-1", "namespace-1")
    assert calls[1]["pod_uid"] != calls[4]["pod_uid"] and len({call["container_id"] for call in calls}) == 4
    assert (calls[2]["unit"], calls[3]["unit"], calls[5]["container"]) == ("unit-1.service", None, None)
    again = redacted(data, no_binary)
    assert [call["container"] for call in json_calls(again)] == [call["container"] for call in calls]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [f"/docker/{ID}", f"{SLICE}/crio-{OTHER}.scope", "/a.service", "/b.scope", "/", f"/pod{POD}"]
            ),
            st.sampled_from(["", "/a", "/b", LINK, LINK.replace(ID, OTHER), f"k8s_app_web-7d9f_shop_{POD}_0"]),
        ),
        max_size=6,
    )
)
def test_redacted_workloads_differ_where_those_of_the_capture_do(places: list[tuple[str, str]]) -> None:
    processes = [ran(pid, *place) for pid, place in enumerate(places, 1)]
    rows = [Row(pid=pid, sequence=pid) for pid in range(1, len(places) + 1)]
    data = capture(rows, processes)

    before, after = (
        [[call[name] for name in FIELDS] for call in json_calls(each)] for each in (data, redacted(data, no_binary))
    )

    assert [before.index(one) for one in before] == [after.index(one) for one in after]
    assert [[bool(value) for value in one] for one in before] == [[bool(value) for value in one] for one in after]
