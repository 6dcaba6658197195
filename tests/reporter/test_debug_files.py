"""Check that a debug file of the same build names what a stripped binary does not, wherever gdb would look for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from httpcapture import Module
from httpreport.cli.main import asked_servers
from httpreport.common.cache import Cache
from httpreport.common.errors import ReportError
from httpreport.elf.elf import read_elf
from httpreport.languages.stack_trace import Unnamed
from httpreport.symbols import debuginfod
from httpreport.symbols.binary import Binary
from httpreport.symbols.binary_lookup import Binaries
from httpreport.symbols.debuginfod import Debuginfod
from support.compiled import compiled, run
from support.live import build_id

SOURCE = """
__attribute__((noinline)) static int hidden(int a) { __asm__ volatile(""); return a * 3; }
int main(int argc, char **argv) { return hidden(argc); }
"""
RECORDED_AT = "/opt/nova/bin/program"


@dataclass(frozen=True)
class Parted:
    """Hold a program in two files: the stripped program, and its symbols."""

    binary: bytes
    debug: bytes
    build_id: bytes
    hidden: int  # the address of the function that only the debug file names


def parted(folder: Path, *options: str) -> Parted:
    program = compiled(folder, "program.c", SOURCE, ["-g", *options])
    hidden = next(line.split()[0] for line in run("nm", program).splitlines() if line.endswith(" hidden"))
    run("objcopy", "--only-keep-debug", program, folder / "program.debug")
    id = build_id(program)
    run("strip", program)
    run("objcopy", f"--add-gnu-debuglink={folder / 'program.debug'}", program)
    return Parted(program.read_bytes(), (folder / "program.debug").read_bytes(), id, int(hidden, 16))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Parted:
    return parted(tmp_path_factory.mktemp("parted"), "-Wl,--build-id")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Parted:
    """Build the program again with the same function at the same address, but another build ID."""
    return parted(tmp_path_factory.mktemp("other"), "-Wl,--build-id=0x1234")


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def name(binaries: Binaries, program: Parted, id: bytes | None = None) -> str | Unnamed:
    """Return the name of `hidden`, or why it has none."""
    module = Module(1, os.fsencode(RECORDED_AT), program.build_id if id is None else id, 0, b"", machine=62)
    found = binaries.find(module, read_elf(program.binary))
    assert isinstance(found, Binary)
    symbol = found.symbol(program.hidden)
    return symbol.name if symbol else found.unnamed


def by_build_id(program: Parted) -> str:
    id = program.build_id.hex()
    return f"usr/lib/debug/.build-id/{id[:2]}/{id[2:]}.debug"


PLACES: list[Callable[[Parted], str]] = [
    by_build_id,
    lambda program: "opt/nova/bin/program.debug",
    lambda program: "opt/nova/bin/.debug/program.debug",
    lambda program: "usr/lib/debug/opt/nova/bin/program.debug",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_debug_file_is_found_where_gdb_looks(
    place: Callable[[Parted], str], tmp_path: Path, program: Parted, other: Parted
) -> None:
    here, symfs = tmp_path / "here", tmp_path / "symfs"

    assert name(Binaries(root=str(here)), program) is Unnamed.STRIPPED
    put(here / place(program), other.debug)
    assert name(Binaries(root=str(here)), program) is Unnamed.STRIPPED
    put(symfs / place(program), program.debug)
    assert name(Binaries(str(symfs), root=str(here)), program) == "hidden"
    put(here / place(program), program.debug)
    assert name(Binaries(root=str(here)), program) == "hidden"


def test_a_debug_link_counts_by_its_crc(tmp_path: Path) -> None:
    """Without a build ID, only the CRC distinguishes debug files; the binary is recognised by its first page."""
    unnumbered = parted(tmp_path, "-Wl,--build-id=none")
    at = tmp_path / "root/opt/nova/bin/program.debug"
    binaries = Binaries(root=str(tmp_path / "root"))

    put(at, unnumbered.debug)
    assert name(binaries, unnumbered, b"") == "hidden"
    put(at, unnumbered.debug + b"\0")
    assert name(binaries, unnumbered, b"") is Unnamed.STRIPPED


def test_a_local_binary_and_its_debug_file_go_together(tmp_path: Path, program: Parted) -> None:
    put(tmp_path / RECORDED_AT.lstrip("/"), program.binary)
    put(tmp_path / by_build_id(program), program.debug)
    module = Module(1, os.fsencode(RECORDED_AT), program.build_id, 0, b"", machine=62)

    found = Binaries(root=str(tmp_path)).find(module)

    assert isinstance(found, Binary)
    assert [table.sources for table in found.symbols] == [(".dynsym",), (".symtab",)]


@dataclass
class Server:
    """Run a debuginfod server on loopback; answer by path, and record what was asked."""

    url: str
    answers: dict[str, bytes | int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: int | None = None  # bytes of each answer, None: all


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serving.asked.append(self.path)
            answer = serving.answers.get(self.path, 404)
            if isinstance(answer, int):
                self.send_error(answer)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: serving.sent])

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        serving = Server(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        listening.shutdown()
        thread.join()


def asking(server: Server, folder: Path) -> Binaries:
    """Ask on a machine that has only its cache."""
    return Binaries(
        root=str(folder / "nothing"), debuginfod=Debuginfod([server.url], Cache(str(folder / "cache"), 1 << 30))
    )


def test_a_debuginfod_server_is_asked_once_and_by_build_id(tmp_path: Path, server: Server, program: Parted) -> None:
    path = f"/buildid/{program.build_id.hex()}/debuginfo"
    server.answers[path] = program.debug

    assert name(asking(server, tmp_path), program) == "hidden"
    assert name(asking(server, tmp_path), program) == "hidden"  # from the cache
    assert server.asked == [path]


def test_a_binary_that_the_capture_does_not_carry_comes_from_the_server(
    tmp_path: Path, server: Server, program: Parted
) -> None:
    server.answers[f"/buildid/{program.build_id.hex()}/executable"] = program.binary
    module = Module(1, os.fsencode(RECORDED_AT), program.build_id, 0, b"", machine=62)

    found = asking(server, tmp_path).find(module)

    assert isinstance(found, Binary)
    assert found.elf.build_id == program.build_id
    assert not asking(server, tmp_path).problems


def test_what_a_server_sends_has_to_be_of_the_build_and_else_is_not_kept(
    tmp_path: Path, server: Server, program: Parted, other: Parted
) -> None:
    path = f"/buildid/{program.build_id.hex()}/debuginfo"
    server.answers[path] = other.debug
    refused = asking(server, tmp_path)

    assert name(refused, program) is Unnamed.STRIPPED
    assert name(refused, program) is Unnamed.STRIPPED
    sent = f"debuginfod server {server.url} sent the debuginfo of another build than {program.build_id.hex()}"
    assert (server.asked, list(refused.problems)) == ([path], [sent])
    assert os.listdir(tmp_path / "cache") == []
    server.answers[path] = program.debug
    assert name(asking(server, tmp_path), program) == "hidden"


@pytest.mark.parametrize("kind", ["debuginfo", "executable"])
def test_a_bad_file_in_the_cache_is_fetched_anew(kind: str, tmp_path: Path, server: Server, program: Parted) -> None:
    data = {"debuginfo": program.debug, "executable": program.binary}[kind]
    server.answers[f"/buildid/{program.build_id.hex()}/{kind}"] = data
    kept = tmp_path / "cache" / f"{program.build_id.hex()}.{kind}"
    put(kept, b"not an ELF file")
    binaries = asking(server, tmp_path)
    module = Module(1, os.fsencode(RECORDED_AT), program.build_id, 0, b"", machine=62)

    found = binaries.find(module, read_elf(program.binary) if kind == "debuginfo" else None)

    assert isinstance(found, Binary)
    assert kept.read_bytes() == data
    assert list(binaries.problems) == []


def test_a_server_that_fails_is_named_and_not_asked_again(
    tmp_path: Path, server: Server, program: Parted, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/buildid/{program.build_id.hex()}/debuginfo"
    server.answers[path] = 500
    failing = asking(server, tmp_path)

    assert name(failing, program) is Unnamed.STRIPPED
    assert failing.debuginfod is not None
    assert list(failing.debuginfod.executables(b"\1\2")) == []
    assert server.asked == [path]
    why = "answered with status 500: names and lines may be missing"
    assert list(failing.problems) == [f"debuginfod server {server.url} is not asked any more: {why}"]
    monkeypatch.setattr(debuginfod, "MAX_BYTES", 100)
    server.answers[path] = program.debug
    endless = asking(server, tmp_path)
    assert name(endless, program) is Unnamed.STRIPPED
    assert "sent more than" in endless.problems[0]
    assert os.listdir(tmp_path / "cache") == []


def test_an_answer_that_breaks_off_is_a_failure(tmp_path: Path, server: Server, program: Parted) -> None:
    server.answers[f"/buildid/{program.build_id.hex()}/debuginfo"] = program.debug
    server.sent = 1000
    broken = asking(server, tmp_path)

    assert name(broken, program) is Unnamed.STRIPPED
    assert f"sent 1000 of {len(program.debug)} bytes" in broken.problems[0]
    assert os.listdir(tmp_path / "cache") == []


def test_a_build_that_no_server_has_is_no_failure(tmp_path: Path, server: Server, program: Parted) -> None:
    binaries = asking(server, tmp_path)

    assert name(binaries, program) is Unnamed.STRIPPED
    assert list(binaries.problems) == []


def test_no_server_is_asked_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1/ http://127.0.0.1:2/")
    assert asked_servers(False, ()) == []
    assert asked_servers(True, ("http://127.0.0.1:3",)) == [f"http://127.0.0.1:{port}" for port in ("3", "1/", "2/")]
    for value in (None, "", "ima:enforcing"):
        monkeypatch.delenv("DEBUGINFOD_URLS")
        if value is not None:
            monkeypatch.setenv("DEBUGINFOD_URLS", value)
        with pytest.raises(ReportError, match="DEBUGINFOD_URLS names no server: name one with --debuginfod-url"):
            asked_servers(True, ())
        monkeypatch.setenv("DEBUGINFOD_URLS", "")
    with pytest.raises(ReportError, match="--debuginfod-url names no server: give its URL"):
        asked_servers(False, ("ima:ignore",))


@pytest.mark.parametrize(
    ("value", "servers"),
    [
        ("ima:enforcing https://debuginfod.fedoraproject.org/ ima:ignore ", ["https://debuginfod.fedoraproject.org/"]),
        ("https://a.example ima:permissive https://b.example", ["https://a.example", "https://b.example"]),
        ("  http://a.example\n\thttp://b.example ima:x http://a.example", ["http://a.example", "http://b.example"]),
        ("file:///srv/debuginfod localhost:8002", ["file:///srv/debuginfod", "localhost:8002"]),
    ],
)
def test_servers_are_named_as_elfutils_has_them(
    value: str, servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first form is Fedora's; debuginfod-client-config(7) has one like the second."""
    monkeypatch.setenv("DEBUGINFOD_URLS", value)

    assert asked_servers(True, ()) == asked_servers(False, (value,)) == servers


@pytest.mark.parametrize("kind", ["debuginfo", "executable"])
@pytest.mark.parametrize("url", ["file://{}", "file://{}/", "file://localhost{}", "file:{}"])
def test_a_folder_is_a_server_too(kind: str, url: str, tmp_path: Path, program: Parted) -> None:
    """Its files are neither copied nor deleted."""
    data = {"debuginfo": program.debug, "executable": program.binary}[kind]
    file = tmp_path / "a folder" / "buildid" / program.build_id.hex() / kind
    put(file, data)
    asked = Debuginfod([url.format(f"{tmp_path}/a%20folder")], Cache(str(tmp_path / "cache"), 1 << 30))
    module = Module(1, os.fsencode(RECORDED_AT), program.build_id, 0, b"", machine=62)

    binaries = Binaries(root=str(tmp_path / "nothing"), debuginfod=asked)
    found = binaries.find(module, read_elf(program.binary) if kind == "debuginfo" else None)

    assert isinstance(found, Binary)
    assert list(binaries.problems) == []
    assert [*asked.debug_files(program.build_id), *asked.executables(program.build_id)] == [str(file)]
    assert file.read_bytes() == data and not (tmp_path / "cache").exists()


def test_a_file_of_another_build_in_a_folder_is_refused_and_stays(
    tmp_path: Path, server: Server, program: Parted, other: Parted
) -> None:
    path = f"/buildid/{program.build_id.hex()}/debuginfo"
    put(tmp_path / path.lstrip("/"), other.debug)
    server.answers[path] = program.debug
    servers = [f"file://{tmp_path}", server.url]
    asked = Debuginfod(servers, Cache(str(tmp_path / "cache"), 1 << 30))

    assert name(Binaries(root=str(tmp_path / "nothing"), debuginfod=asked), program) == "hidden"

    said = f"debuginfod server file://{tmp_path} sent the debuginfo of another build than {program.build_id.hex()}"
    assert (asked.problems, server.asked) == ([said], [path])
    assert (tmp_path / path.lstrip("/")).read_bytes() == other.debug


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ("ftp://host/", "it is not an http, https or file URL"),
        ("http://", "it is not an http, https or file URL"),
        ("http://[::1/", "Invalid IPv6 URL"),
        ("file:///no/such/folder", "the folder does not exist"),
        ("file:///%00", "the folder does not exist"),
        ("file://other.example/srv", "its files are on another host"),
        ("http://me:secret@127.0.0.1:1/", "a user name in its URL is not supported"),
    ],
)
def test_an_odd_server_is_named_and_the_others_are_asked(
    odd: str, why: str, tmp_path: Path, server: Server, program: Parted
) -> None:
    server.answers[f"/buildid/{program.build_id.hex()}/debuginfo"] = program.debug
    asked = Debuginfod([odd, server.url], Cache(str(tmp_path / "cache"), 1 << 30))

    assert name(Binaries(root=str(tmp_path / "nothing"), debuginfod=asked), program) == "hidden"

    shown = odd.replace("me:secret", "...")
    assert asked.problems == [f"debuginfod server {shown} is not asked: {why}: names and lines may be missing"]


@pytest.mark.parametrize("odd", ["http://127.0.0.1:99999", "http://127.0.0.1:x", "http://a..b/", "http://a\u00fc\x01/"])
def test_a_server_that_cannot_be_reached_is_named_and_the_others_are_asked(
    odd: str, tmp_path: Path, server: Server, program: Parted
) -> None:
    server.answers[f"/buildid/{program.build_id.hex()}/debuginfo"] = program.debug
    asked = Debuginfod([odd, server.url], Cache(str(tmp_path / "cache"), 1 << 30))

    assert name(Binaries(root=str(tmp_path / "nothing"), debuginfod=asked), program) == "hidden"

    (problem,) = asked.problems
    assert problem.startswith(f"debuginfod server {odd} is not asked any more: ")


def test_a_server_without_a_scheme_is_asked_by_http(tmp_path: Path, server: Server, program: Parted) -> None:
    server.answers[f"/buildid/{program.build_id.hex()}/debuginfo"] = program.debug
    asked = Debuginfod([server.url.removeprefix("http://")], Cache(str(tmp_path / "cache"), 1 << 30))

    assert name(Binaries(root=str(tmp_path / "nothing"), debuginfod=asked), program) == "hidden"
    assert asked.problems == []


def test_the_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "kept"), 25)
    for moment, entry in enumerate("abc"):
        os.utime(cache.write(entry, [b"0123456789"]), ns=(0, moment))

    assert sorted(os.listdir(cache.folder)) == ["b", "c"]
    assert cache.find("b") and not cache.find("a")
    cache.write("d", [b"0123456789"])
    assert sorted(os.listdir(cache.folder)) == ["b", "d"]


def test_a_file_that_fails_half_way_is_not_in_the_cache(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the line broke")

    cache = Cache(str(tmp_path), 100)
    with pytest.raises(OSError, match="the line broke"):
        cache.write("a", pieces())
    assert os.listdir(tmp_path) == []
