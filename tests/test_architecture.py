"""Check who imports whom: the packages, the layers, what root runs, and which files touch the file system."""

from __future__ import annotations

import re
import sys
from importlib import metadata

import pytest

from support.source import PACKAGES, ROOT, files, imports, modules, names_used, top_level

ARROWS = {
    "httprec": {"httpcapture", "httpbpf"},
    "httpbpf": set(),
    "httpcapture": set(),
    "httpreport": {"httpcapture"},
}
RUN_BY_ROOT = ("httprec", "httpbpf", "httpcapture")
FOR_ROOT = {"bcc", "click", "msgpack", "zstandard"}

# What is not computation, and the reporter's files that may use it.
# symbols/binary_lookup.py alone looks for binaries.
FILES = {"fileinput", "glob", "io", "linecache", "mmap", "os", "pathlib", "shutil", "subprocess", "tempfile"}
NETWORK = {"http", "socket", "ssl", "urllib"}
OTHER = {"multiprocessing", "threading", "time"}
BUILTINS = {"input", "open", "print"}
SHELL = {
    "capture/sources.py": FILES | BUILTINS,
    "capture/verify.py": {"open"},
    "cli/atomic_files.py": FILES | BUILTINS,
    "cli/commands.py": FILES | BUILTINS,
    "cli/compare_captures.py": {"pathlib"},
    "cli/main.py": {"os"},
    "cli/parallel.py": FILES | {"open"},
    "cli/streams.py": FILES | BUILTINS,
    "cli/workers.py": {"multiprocessing", "os"},
    "common/cache.py": FILES | BUILTINS,
    "common/progress.py": {"io", "time"},
    "follow/follow.py": {"time"},
    "follow/growing.py": {"open", "os", "time"},
    "follow/keyboard.py": {"os", "time"},
    "outputs/output.py": {"pathlib"},
    "report/sorted_spool.py": {"open", "os", "pathlib"},
    "symbols/binary_lookup.py": FILES | BUILTINS,
    "symbols/debuginfod.py": NETWORK | {"os", "time"},
    "symbols/source_lines.py": {"os", "subprocess", "time"},
    "symbols/source_lines_worker.py": {"print"},
}
# Of those modules, what is computation only, and heads of longer names.
PURE = {"io.BytesIO", "os.fsdecode", "os.fsencode", "os.path.basename", "os.path.commonprefix"} | {
    "io",
    "os",
    "os.path",
    "urllib.parse.unquote",
}

ALL = pytest.mark.parametrize("package", PACKAGES)


@ALL
def test_a_package_imports_no_other_than_the_design_says(package: str) -> None:
    for path in modules(package):
        wrong = top_level(imports(path, package)) & PACKAGES.keys() - ARROWS[package] - {package}
        assert not wrong, f"{path} imports {wrong}"


@ALL
def test_no_import_is_hidden_from_the_other_tests(package: str) -> None:
    for path in modules(package):
        names = names_used(path) | imports(path, package)
        hidden = {name for name in names if re.match(r"importlib(?!\.resources\b)|__import__|exec$|eval$|runpy", name)}
        assert not hidden, f"{path} uses {hidden}"


@pytest.mark.parametrize("package", RUN_BY_ROOT)
def test_root_runs_the_standard_library_and_four_packages(package: str) -> None:
    for path in modules(package):
        wrong = top_level(imports(path, package)) - FOR_ROOT - PACKAGES.keys() - sys.stdlib_module_names
        assert not wrong, f"{path} imports {wrong}"


def test_the_reporter_imports_what_the_distribution_declares() -> None:
    requirements = metadata.requires("httprec") or []
    reporters = [text for text in requirements if "extra ==" not in text or re.search(r"extra == .report.", text)]
    declared = {re.split(r"[^\w-]", text)[0].replace("-", "_") for text in reporters}
    for path in modules("httpreport"):
        wrong = top_level(imports(path, "httpreport")) - declared - PACKAGES.keys() - sys.stdlib_module_names
        assert not wrong, f"{path} imports {wrong}"


def test_one_file_imports_bcc() -> None:
    importers = [path for name in PACKAGES for path in modules(name) if "bcc" in top_level(imports(path, name))]
    assert importers == [PACKAGES["httprec"] / "loader.py"]


# What they take apart is not described by httpbpf.layout: ring headers and keys of maps, programs, ELF files, a
# process's memory.
WITH_FORMATS = {
    *("bpf_programs.py", "bpf_tails.py"),
    *("elf_identity.py", "elf_sections.py", "loader.py", "ring.py", "rows.py", "tracer.py"),
    *("elf_symbols.py", "memory.py", "python_code.py", "python_layouts.py", "python_process.py"),
    *("php_code.py", "php_process.py", "walked_frames.py"),
    *("jit_dump.py", "thread_variable.py", "v8_frames.py", "v8_heap.py", "v8_scripts.py"),
    *("attacher.py", "elf_addresses.py"),
}


def test_the_recorder_takes_rows_of_the_kernel_apart_by_their_layout_only() -> None:
    importers = {path.name for path in modules("httprec") if "struct" in top_level(imports(path, "httprec"))}
    assert importers == WITH_FORMATS


def test_only_the_shell_of_the_reporter_does_more_than_compute() -> None:
    for path in modules("httpreport"):
        imported = imports(path, "httpreport")
        impure = (FILES | NETWORK | OTHER) & top_level(imported) | BUILTINS
        wrong = impure - SHELL.get(path.relative_to(PACKAGES["httpreport"]).as_posix(), set())
        used = {name for name in names_used(path) | imported if name.split(".")[0] in wrong} - PURE
        assert not used, f"{path} uses {used}"


# The folders of httpreport, the lowest first: a file imports from its own folder and from lower ones only.
LAYERS = (
    *("common", "elf", "unwind", "routes", "calls", "capture", "languages", "symbols"),
    *("report", "answer", "redact", "compare", "outputs", "follow", "cli"),
)


def test_the_folders_of_the_reporter_are_its_layers() -> None:
    top = PACKAGES["httpreport"]
    folders = {path.relative_to(top).parts[0] for path in modules("httpreport") if path.parent != top}
    assert folders == set(LAYERS)
    assert {path.name for path in modules("httpreport") if path.parent == top} == {"__init__.py", "__main__.py"}


def test_imports_in_the_reporter_point_downwards() -> None:
    top, upwards = PACKAGES["httpreport"], []
    for path in modules("httpreport"):
        layer, *inner = path.relative_to(top).parts
        if inner:
            higher = LAYERS[LAYERS.index(layer) + 1 :]
            names = imports(path, "httpreport")
            upwards += [
                f"{path}: {name}" for name in names if name.startswith(tuple(f"httpreport.{up}." for up in higher))
            ]
    assert not upwards


SOMEBODYS_FOLDER = rb"/(?:home|Users)/(?!sre\b)\w+|/root/\.\w+"  # sre is the guest's user
STANDARD_FOLDERS = {"opt", "srv", "tmp", "usr", "var"}  # where files may lie that the tree has to name


def test_no_file_names_a_folder_of_a_developers_machine() -> None:
    pattern = SOMEBODYS_FOLDER
    if len(ROOT.parts) > 2 and ROOT.parts[1] not in STANDARD_FOLDERS:
        pattern += b"|" + re.escape(bytes(ROOT)) + rb"\b"
    found = {f"{path}: {match.decode()}" for path in files() for match in re.findall(pattern, path.read_bytes())}
    assert not found
