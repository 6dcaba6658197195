"""Check that a redacted capture has the same report as the original, and contains nothing that identifies its owner."""

from __future__ import annotations

import io
import json
import re
import shlex
import struct
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from httpcapture import (
    Calls,
    Completions,
    End,
    Heads,
    HeadText,
    JitMap,
    Lost,
    Module,
    Reader,
    Record,
    Section,
    StackStatus,
)
from httpcapture.frames import FrameReader
from httpreport import __version__
from httpreport.calls import protocol
from httpreport.capture.loader import KeepNothing, load
from httpreport.common.errors import ReportError
from httpreport.outputs.output import Destination
from httpreport.outputs.registry import OUTPUTS
from httpreport.redact import Redaction
from httpreport.redact.masks import AddressMasks, PathMasks
from httpreport.report.aggregate import aggregate_of
from httpreport.report.headline import summary
from httpreport.report.warnings import Cause
from support.command_line import run
from support.head_records import Asked, head_records
from support.recordings import (
    MS,
    PROCESS_START_NS,
    STARTED_NS,
    TEXT,
    Row,
    capture,
    completion,
    packed_address,
    process,
    stack,
)
from support.redactions import redacted
from support.reports import json_text, no_binary, reported, text_lines, written

REAL = Path(__file__).parent / "data" / "python_http.cap"
HEADS = st.one_of(
    st.binary(max_size=16),
    st.builds(
        bytes.__add__,
        st.sampled_from([b"GET ", b"OPTIONS ", b"HTTP/1.1 200", b"HTTP/1.", b"HTTP/1.0 ", b"\x16\x03\x01", bytes(8)]),
        st.binary(max_size=16),
    ),
)
SECRET = b"secret"
SAID = """
  removed   registers and stack bytes of stacks: 1 (0.5 KiB)
  removed   modules without frames: 1 of 2
  removed   mappings without frames: 1
  removed   functions made at run time without frames: 1
  removed   first bytes of 14 payloads, except method, version, status and TLS mark
  removed   queries and most header lines of heads
  removed   boot ID, ID of the recording, devices and inodes of files
  masked    host: host-HEX
  masked    IP addresses: 4; loopback stays
  masked    paths of requests: 2, of so many routes: 2; their hosts: 2; ids: 1
  masked    folders: 4; system folders such as /usr/lib stay
  masked    cgroups: 1
  masked    sequence numbers of TCP: 5
  masked    names and IDs of containers, pods and units: 4
  masked    frames outside any mapping: 1
  kept      causes of calls: 0
  kept      names of processes, threads, functions and files, -p filters, build IDs
  kept      ports, pids, times, sizes, addresses of code, kernel, limits
"""
MADE_UP = ("cgroup", "source", "destination", "http", "container", "container_id", "pod_namespace", "pod", "pod_uid")
JITTED = 0x7F4000000000
MAPS = (
    b"%x-%x r-xp 00001000 fe:01 7777171    /srv/secret/app/run\n" % (TEXT, TEXT + 0x2000)
    + b"7f2000000000-7f2000001000 r-xp 00001000 fe:01 7777172    /srv/secret/unused.so\n"
    + b"7f3000000000-7f3000001000 r--p 00000000 fe:01 7777173    /srv/secret/data\n"
    + b"%x-%x rwxp 00000000 00:00 0 \n" % (JITTED, JITTED + 0x1000)
)
JIT_NAMES = (
    b"%x 20 LazyCompile:~get /srv/secret dir/app.js:12:5\n" % JITTED
    + b"%x 20 LazyCompile:~secret_unused /srv/app.js:1:1\n" % (JITTED + 0x100)
)
CALLED_FROM = (TEXT + 0x100, JITTED + 0x10)
DATA = 0x7F3000000010
SEQUENCE_NUMBER = int.from_bytes(b"7777", "little")
STACK_WORD = int.from_bytes(b"secret!!", "little")
PEERS = ("10.77.77.77", "2a02:7777::7777", "203.0.113.77", "10.77.77.77", "127.0.0.7")


def records() -> list[Record]:
    strings = b"\0main\0/srv/secret/main.c\0$ORIGIN:/srv/secret/lib\0helper\0"
    copy = replace(
        stack(TEXT, 0x1234, id=1),
        registers=struct.pack("<21Q", *[STACK_WORD] * 16, TEXT, 0x33, 0x246, 0x7FFC00001000, 0x2B),
        memory_address=0x7FFC00001000,
        memory=b"secret!!" * 40,
        missing_pages=2,
    )
    return [
        Module(1, b"/srv/secret/app/run", b"\1" * 20, 9, b"", "/srv/secret/app/run: gone"),
        Module(2, b"/srv/secret/unused.so", b"\2" * 20, 9, b""),
        Section(1, ".strtab", 0, len(strings), 0, strings[:20]),
        Section(1, ".strtab", 0, len(strings), 20, strings[20:]),
        Section(1, ".secret", 0, 6, 0, SECRET),
        Section(1, "", 0, 6, 0, SECRET),
        Section(2, ".strtab", 0, 6, 0, SECRET),
        replace(
            process(MAPS, [(TEXT, 1), (0x7F2000000000, 2)]),
            executable=b"/srv/secret/app/run",
            problem="/secret/x",
            cgroups=b"0::/secret.slice/docker-%b.scope\n" % (b"7777" * 16),
            container_name=b"k8s_secret_secret_secret_secret_0",
        ),
        JitMap(12345, PROCESS_START_NS, STARTED_NS, 0, JIT_NAMES),
        stack(TEXT, *CALLED_FROM, STACK_WORD, id=2),
        stack(TEXT, *CALLED_FROM, DATA, id=3),
        copy,
        HeadText(1, b"GET /secret/secret?secret=... HTTP/1.1\nhost: secret.example\nx-request-id: secret\n..."),
        HeadText(2, b"HTTP/1.1 200\nserver: secret\nlocation: https://secret.example"),
        HeadText(3, b"POST /secret.Secret/Secret HTTP/2\nhost: secret"),
        HeadText(4, b"secret secret\nsecret"),
        HeadText(5, b"secret\0/secret secret SECRET/1.1"),
        Heads(struct.pack("<2Q", 1, 2), struct.pack("<2I", 0, 1), struct.pack("<2I", 1, 3), struct.pack("<2I", 2, 0)),
        Lost(STARTED_NS, {"call_ring_full": 3}),
    ]


def secret_capture(end: End | bool = True) -> bytes:
    """Return a capture in which everything that identifies its owner contains b"secret" or 7777."""
    rows = [
        Row(
            local="192.168.77.77",
            peer=peer,
            connection=1 + number,
            sequence=number,
            request_seq=SEQUENCE_NUMBER,
            response_seq=SEQUENCE_NUMBER + number,
            comm=b"nova\0secret",
            request_head=b"GET /sec",
            response_head=b"HTTP/1.1 404 sec",
            stack=1 + number % 2,
            receive_tid=99,
            receive_stack=3 - 2 * (number % 2),
            receive_stack_status=StackStatus.RECORDED,
        )
        for number, peer in enumerate(PEERS)
    ]
    rows += [
        replace(rows[0], sequence=10, request_head=b"secret..", response_head=b"secret..secret.."),
        replace(rows[0], sequence=11, request_head=b"\x16\x03\x01secre", response_head=b"\x17\x03\x03secret"),
    ]
    if end is True:
        end = End(STARTED_NS + 1, "cannot write /srv/secret/run.cap: No space left", True, 7, 7, 0, {})
    completions = [completion(rows[0], 5 * MS, 112, 900)]
    named = {"host": "secret", "boot_id": "secret", "run": "secret"}
    meta: dict[str, Any] = {**named, "part": 3, "limits": {"stack_pages": 4}}
    return capture(rows, records(), completions, end, **meta)


def contents(data: bytes) -> bytes:
    """Return everything in a capture: its chunks, decompressed, and the columns of calls, decoded."""
    columns = [
        bytes(column)
        for record in Reader(io.BytesIO(data))
        if isinstance(record, (Calls, Completions))
        for column in record.columns.values()
    ]
    return b"".join([*FrameReader(io.BytesIO(data)), *columns])


def made(data: bytes) -> dict[str, object]:
    """Return what the report of a redacted capture must have in common with the original's."""
    report = reported(data)
    parsed = json.loads(json_text(report, "run.cap"))
    return {
        **{name: parsed[name] for name in ("selection", "ledger", "frames", "stack_traces")},
        "calls": [{name: value for name, value in call.items() if name not in MADE_UP} for call in parsed["calls"]],
        "summary": summary(aggregate_of(report, "run.cap")),
        "peers": [(key.process, key.role, key.port, totals) for key, totals in report.recording.by_peer.items()],
    }


def outputs(data: bytes) -> dict[str, list[bytes]]:
    """Return every output of a capture, line by line, without its host and boot, cgroups and the warning."""
    report = reported(data)
    report = replace(report, warnings=[warning for warning in report.warnings if warning.cause is not Cause.REDACTED])
    meta = replace(report.recording.meta, host="any", boot_id="any")
    report = replace(report, recording=replace(report.recording, meta=meta))
    report.recording.calls["cgroup"] = 0
    of_reports = (output for output in OUTPUTS if output.report and output.destination is not Destination.TERMINAL)
    return {output.name: written(output, report).splitlines() for output in of_reports}


def test_every_output_of_a_real_capture_is_the_same() -> None:
    """Its addresses are loopback, and its folders are the system's."""
    data = REAL.read_bytes()

    again = redacted(data, no_binary)

    assert outputs(again) == outputs(data)
    assert b"host-" in contents(again)


def test_nothing_that_was_secret_is_left_and_the_numbers_are_the_same() -> None:
    data = secret_capture()

    again = redacted(data, no_binary)

    secrets = [SECRET, b"7777", b"/srv", b"/sec", *map(packed_ipv4, (*PEERS[:4:2], "192.168.77.77"))]
    assert all(secret in contents(data) for secret in secrets)
    assert [secret for secret in (*secrets, b"\x77\x77") if secret in contents(again)] == []
    assert made(again) == made(data)


def test_equal_sequence_numbers_stay_equal_and_unknown_ones_unknown() -> None:
    numbers = [(5, 9), (5, 9), (9, 0), (0, 5)]
    rows = [
        Row(connection=1 + place, request_seq=request, response_seq=response)
        for place, (request, response) in enumerate(numbers)
    ]

    calls = reported(redacted(capture(rows), no_binary), milliseconds=None).recording.calls

    masked = dict(zip((call["connection"] for call in calls), zip(calls["request_seq"], calls["response_seq"])))
    (five, nine), *_ = (masked[1 + place] for place in range(4))
    assert five != nine and 0 not in (five, nine)
    assert [masked[1 + place] for place in range(4)] == [(five, nine), (five, nine), (nine, 0), (0, five)]


def packed_ipv4(text: str) -> bytes:
    return packed_address(text)[12:]


def test_what_stands_for_what_was_removed() -> None:
    report = reported(redacted(secret_capture(), no_binary))

    recording, meta = report.recording, report.recording.meta
    (first, *_) = recording.processes.values()
    assert re.fullmatch("host-[0-9a-f]{6}", meta.host)
    assert (meta.boot_id, meta.run, meta.part, meta.redacted) == ("", "", 1, f"httpreport {__version__}")
    assert [module.path for module in recording.modules.values()] == [b"/redacted/1/run"]
    assert bytes(recording.carried[1][".strtab"].data) == b"\0main\0%b\0$ORIGIN:%b\0helper\0" % (
        b"x" * len("/srv/secret/main.c"),
        b"x" * len("/srv/secret/lib"),
    )
    assert first[0].executable == b"/redacted/1/run"
    assert first[0].maps.splitlines() == [
        b"",
        b"7f0000001000-7f0000003000 r-xp 00001000 00:00 0 /redacted/1/run",
        b"7f3000000000-7f3000001000 r--p 00000000 00:00 0 ",
        b"7f4000000000-7f4000001000 r-xp 00000000 00:00 0 ",
    ]
    assert recording.end is not None
    assert recording.end.reason == "cannot write /redacted/4/run.cap: No space left"
    lines = text_lines(report, "run.cap")
    assert "    LazyCompile:~get /redacted/3/app.js:12:5 ([JIT])" in lines
    assert "    0x8000000000000001 [outside any mapping]" in lines


def test_a_redacted_capture_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(redacted(secret_capture(), no_binary))

    reported_so = run(path, "-t", "0", "--json")

    assert f"redacted     by httpreport {__version__}" in run("--info", path).stdout
    assert "boot" not in run("--info", path).stdout
    assert "warning: the capture was redacted by httpreport" in reported_so.stderr
    assert "redacted" in [warning["cause"] for warning in json.loads(reported_so.stdout)["warnings"]]
    assert run("--verify", path).exit_code == 0


def test_a_redacted_capture_can_be_redacted() -> None:
    once = redacted(secret_capture(), no_binary)

    assert made(redacted(once, no_binary)) == made(once)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_what_was_cut_off_or_damaged_stays_cut_off(kept: float) -> None:
    data = REAL.read_bytes()
    cut = data[: int(len(data) * kept)]
    damaged = cut + bytes(len(data) - len(cut))

    for lacking in (cut, damaged, secret_capture(end=False)):
        of_redacted = reported(redacted(lacking, no_binary)).recording
        assert of_redacted.end is None
        assert of_redacted.cut_off is not None
        assert of_redacted.recorded == reported(lacking).recording.recorded


def test_a_record_after_the_end_is_damage_that_stays() -> None:
    data = capture()
    chunks = data[len(capture(rows=[], end=False)) :]

    assert reported(redacted(data + chunks, no_binary)).recording.cut_off is not None
    assert reported(redacted(data, no_binary)).recording.cut_off is None


def test_frames_beyond_the_limit_are_counted_as_before() -> None:
    data = capture(records=[process(), stack(*[TEXT + 1] * 1100)])

    (trace,) = reported(redacted(data, no_binary)).traces

    assert (len(trace.frames), trace.left_out) == (1024, 76)


def test_the_same_file_is_carried_once() -> None:
    maps = b"%x-%x r-xp 0 00:00 0 /usr/lib/a\n%x-%x r-xp 0 00:00 0 /usr/lib/b\n" % tuple(range(TEXT, TEXT + 64, 16))
    data = capture(
        records=[
            Module(1, b"/usr/lib/a", b"\1" * 20, 9, b""),
            Module(2, b"/usr/lib/b", b"\1" * 20, 9, b""),
            Section(2, ".dynstr", 0, 6, 0, b"\0main\0"),
            process(maps, [(TEXT, 1), (TEXT + 32, 2)]),
            stack(TEXT, TEXT + 33),
        ]
    )

    again = redacted(data, no_binary)

    assert sum(isinstance(record, Section) for record in Reader(io.BytesIO(again))) == 1
    assert reported(again).recording.carried.keys() == {1, 2}


def test_a_capture_that_changes_meanwhile_is_refused() -> None:
    first, second = Reader(io.BytesIO(capture())), Reader(io.BytesIO(capture(host="web-2")))

    with pytest.raises(ReportError, match="changed while it was read"):
        list(Redaction(load(first, KeepNothing()), no_binary, ()).pieces(second))


@example([(b"! ", b"HTTP/1.\0 000")])
@given(st.lists(st.tuples(HEADS, HEADS), max_size=8))
def test_only_kind_method_and_status_remain_of_a_head(heads: list[tuple[bytes, bytes]]) -> None:
    requests, responses = np.array([one for one, _ in heads], "S8"), np.array([other for _, other in heads], "S16")

    bare = protocol.without_content(requests, responses)

    assert all(map(np.array_equal, protocol.read_protocol(*bare), protocol.read_protocol(requests, responses)))
    method = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # a token (RFC 9110, 5.6.2), because any may be a method
    for request, response in zip(*(column.tolist() for column in bare)):
        assert re.fullmatch(rf"({method} |\?|[\x14-\x18]\x03[\0-\4]?)?", request.decode())
        assert re.fullmatch(r"(HTTP/1\.([0-9]|[0-9\0] [0-9]{3})?|\?|[\x14-\x18]\x03[\0-\4]?)?", response.decode())


ADDRESS = st.one_of(
    st.ip_addresses(v=4), st.ip_addresses(v=6), st.ip_addresses(v=4, network="127.0.0.0/8"), st.just(ip_address("::1"))
)


@given(st.lists(st.lists(ADDRESS, max_size=6), max_size=3))
def test_an_address_is_masked_by_one_of_its_family_and_loopback_stays(batches: list[list[IPv4Address]]) -> None:
    addresses, masks = AddressMasks(), dict[bytes, bytes]()
    for batch in batches:
        packed = [packed_address(str(address)) for address in batch]
        masked = addresses.masked(np.array(packed, "S16")).tolist()
        for before, after in zip(packed, (mask.ljust(16, b"\0") for mask in masked)):
            assert masks.setdefault(before, after) == after
    assert len(set(masks.values())) == len(masks)
    for before, after in masks.items():
        known, mask = IPv6Address(before), IPv6Address(after)
        if known.is_loopback or known.is_unspecified:
            assert mask == known
        elif known.ipv4_mapped is None:
            assert mask in IPv6Network("2001:db8::/32")
        elif known.ipv4_mapped.is_loopback or known.ipv4_mapped.is_unspecified:
            assert mask == known
        else:
            assert mask.ipv4_mapped in IPv4Network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("path", "masked"),
    [
        (b"/usr/lib/x86_64-linux-gnu/libc.so.6", b"/usr/lib/x86_64-linux-gnu/libc.so.6"),
        (b"/lib64/ld-linux-x86-64.so.2", b"/lib64/ld-linux-x86-64.so.2"),
        (b"/usr/bin/python3.11", b"/usr/bin/python3.11"),
        (b"/usr/libexec/x", b"/usr/libexec/x"),
        (b"[vdso]", b"[vdso]"),
        (b"/memfd:code (deleted)", b"/memfd:code (deleted)"),
        (b"/usr/local/lib/libc.so.6", b"/redacted/1/libc.so.6"),
        (b"/usr/lib/../../srv/me/x", b"/redacted/1/x"),
        (b"/usr/lib/a b/x", b"/redacted/1/x"),
        (b"/usr/libertine/x", b"/redacted/1/x"),
        (b"/opt/us\n/x (deleted)", b"/redacted/1/x (deleted)"),
        (b"[anon:mine/x]", b""),
        (b"", b""),
    ],
)
def test_the_folders_of_the_system_stay_and_others_are_numbered(path: bytes, masked: bytes) -> None:
    assert PathMasks().masked(path) == masked


def test_one_folder_has_one_number() -> None:
    paths = PathMasks()

    masked = [paths.masked(path) for path in (b"/srv/a/x", b"/srv/b/x", b"/srv/a/y", b"/usr/bin/z")]

    assert masked == [b"/redacted/1/x", b"/redacted/2/x", b"/redacted/1/y", b"/usr/bin/z"]
    assert len(paths) == 2


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (b"py::run:/srv/me/app.py", b"py::run:/redacted/1/app.py"),
        (b"Function:f file:///srv/a b/x.js:3:1", b"Function:f file:/redacted/1/x.js:3:1"),
        (b"Lcom/foo/Bar;::run", b"Lcom/foo/Bar;::run"),
        (b"github.com/me/tool.(*T).Run", b"github.com/me/tool.(*T).Run"),
        (b"Script:~ /usr/lib/node/x.js", b"Script:~ /usr/lib/node/x.js"),
    ],
)
def test_paths_within_a_name(text: bytes, masked: bytes) -> None:
    assert PathMasks().within(text) == masked


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("/srv/me/app.py", "/redacted/1/app.py"),
        ("/usr/lib/python3.11/http/client.py", "/usr/lib/python3.11/http/client.py"),
        ("file:///srv/me/x.mjs", "file:/redacted/1/x.mjs"),
        ("me/app.py", "/redacted/1/app.py"),
        ("./me/app.py", "/redacted/1/app.py"),
        ("../../me/mine/app.py", "/redacted/1/app.py"),
        ("lib/me/app.py", "/redacted/1/app.py"),
        ("app.py", "app.py"),
        ("node:internal/streams/writable", "node:internal/streams/writable"),
        ("<frozen importlib/bootstrap>", "<frozen importlib/bootstrap>"),
        ("", ""),
    ],
)
def test_the_folders_of_a_script_are_masked_also_if_its_name_is_relative(name: str, masked: str) -> None:
    assert PathMasks().script(name) == masked


def test_the_command_writes_a_capture_for_its_owner_and_says_what_it_did(tmp_path: Path) -> None:
    source, out = tmp_path / "run.cap", tmp_path / "out.cap"
    source.write_bytes(secret_capture())

    result = run(source, "--redact", out)

    assert (result.exit_code, result.stderr) == (0, "")
    assert out.stat().st_mode & 0o777 == 0o600
    assert made(out.read_bytes()) == made(secret_capture())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.cap", "run.cap"]
    said = re.sub("host-[0-9a-f]{6}", "host-HEX", result.stdout)
    assert said.startswith("warning: lost calls: 3 (")
    assert said.endswith(f"\n{source}: redacted: {out}{SAID}")
    assert run(source, "--redact", out).exit_code == 1
    assert run(source, "--redact", out, "-f", "--strict").exit_code == 3  # calls were lost
    for given_as, data in ((source, None), ("-", secret_capture())):
        piped = run(given_as, "--redact", "-", data=data)
        assert made(piped.stdout_bytes) == made(secret_capture())
        assert "masked    IP addresses: 4; loopback stays" in piped.stderr
        assert ": redacted: standard output\n" in piped.stderr


def test_of_heads_the_method_the_version_and_the_status_stay_and_equal_values_stay_equal() -> None:
    written = [*Reader(io.BytesIO(redacted(secret_capture(), no_binary)))]

    assert [head for head in written if isinstance(head, HeadText)] == [
        HeadText(1, b"GET /redacted/{route-1}/1?... HTTP/1.1\nhost: host-1\nx-request-id: id-1\n..."),
        HeadText(2, b"HTTP/1.1 200\nlocation: https://host-1"),
        HeadText(3, b"POST /redacted/{route-2}/2 HTTP/2\nhost: host-2"),
        HeadText(4, b"? ?"),
        HeadText(5, b"? host-2 ?"),
    ]
    assert [heads for heads in written if isinstance(heads, Heads)] == [r for r in records() if isinstance(r, Heads)]


PATHS = st.sampled_from(["/a/1", "/a/2", "/a/b", "/b/1", "/", "/p.S/17", *(f"/pods/w{number}" for number in range(60))])


@given(st.lists(PATHS, min_size=1, max_size=80))
@settings(max_examples=20, deadline=None)
def test_paths_have_the_same_route_as_each_other_if_they_had_it_before(paths: list[str]) -> None:
    calls = [
        Asked(Row(sequence=number, duration_ns=(100 + number) * MS), f"GET {path} HTTP/1.1".encode())
        for number, path in enumerate(paths)
    ]
    data = capture([call.row for call in calls], head_records(calls))

    before, after = (
        sorted(
            (totals.latencies.totals.time_ns, totals.latencies.totals.calls)
            for totals in aggregate_of(reported(one), "run.cap").by_route.values()
        )
        for one in (data, redacted(data, no_binary))
    )

    assert before == after


def test_a_pipe_is_redacted_too(tmp_path: Path) -> None:
    source = tmp_path / "run.cap"
    source.write_bytes(secret_capture())
    command = f"{shlex.quote(sys.executable)} -P -m httpreport <(cat {shlex.quote(str(source))}) --redact - | cat"

    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)

    assert made(done.stdout) == made(secret_capture())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run.cap", "-t", "300"], 2, "--redact writes a whole capture and makes no report"),
        (["run.cap", "--pid", "1"], 2, "leave out filters and outputs"),
        (["run.cap", "--json"], 2, "leave out filters and outputs"),
        (["run.cap", "-o", "there"], 2, "leave out filters and outputs"),
        (["run.cap", "--verify"], 2, "leave out filters and outputs"),
        (["run.cap", "other.cap"], 1, "--redact takes one capture: give one file"),
        (["nothing.cap"], 1, "cannot read nothing.cap: No such file or directory"),
    ],
)
def test_what_the_command_refuses(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run.cap", "other.cap"):
        Path(name).write_bytes(capture())

    result = run(*arguments, "--redact", "out.cap")

    assert (result.exit_code, Path("out.cap").exists(), Path("there").exists()) == (code, False, False)
    assert said in result.stderr
