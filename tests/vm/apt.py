"""Fetch packages from the machine's mirrors through an apt that shares nothing else with the machine's own.

Each suite has a folder in the cache with a configuration, package lists, and the record that nothing is
installed. The lists are fetched once a day at most; what was resolved from them is kept as long as they are.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm import cache
from vm.sources import Mirrors, mirrors

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LISTS_LAST_S = 24 * 3600
PACKAGE_FILES_KEPT = 800
PLANNED = re.compile(r"^Inst (\S+) \((\S+) .*?\[(\w+)\]\)", re.MULTILINE)

# Check-Valid-Until is off for mirrors with an older sid, or with a release that is no longer updated.
# Signatures are checked all the same.
CONFIGURATION = """\
Dir::Etc "{folder}";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "empty";
Dir::Etc::preferencesparts "empty";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "empty";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Default-Release "{preferred}";
APT::Install-Recommends "0";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "0";
Acquire::Languages "none";
"""


class AptError(Exception):
    """Report which packages cannot be had, and why in the words of apt."""


@dataclass(frozen=True)
class Package:
    """Identify one version of a package."""

    name: str
    version: str
    architecture: str

    @property
    def file_name(self) -> str:
        """Return what `apt-get download` calls its file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Apt:
    """Resolve and download the packages of one suite, such as bookworm or bookworm-backports."""

    def __init__(self, suite: str, *, fetch_lists: bool = False) -> None:
        """Fetch the suite's package lists if asked to, if they are a day old, or if the mirrors changed.

        Raises AptError if there are none.
        """
        self.suite = suite
        self._folder = cache.folder() / "apt" / suite
        self._fetched = self._folder / "fetched"  # as old as the lists
        with cache.lock(f"apt-{suite}"):
            self._configure()
            if fetch_lists or not self._lists_last():
                self._fetch_lists()

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """Return what must be installed for the packages `names` on a machine without any. Raises AptError."""
        kept = self._folder / "resolved" / cache.key(names)
        with cache.lock(f"apt-{self.suite}"):
            if not kept.exists():
                plan = self._run("apt-get", "--simulate", "install", *names)
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(plan)
            return [Package(*fields) for fields in PLANNED.findall(kept.read_text())]

    def download(self, packages: Sequence[Package]) -> list[Path]:
        """Return the files of `packages`, in their order, after fetching those that the cache lacks. Raises
        AptError."""
        directory = cache.folder() / "packages"
        files = [directory / package.file_name for package in packages]
        with cache.workspace("packages") as space:
            directory.mkdir(exist_ok=True)
            missing = [p for p, file in zip(packages, files) if not file.exists()]
            if missing:
                self._run("apt-get", "download", *(f"{p.name}={p.version}" for p in missing), cwd=space)
            for file in space.iterdir():
                file.rename(directory / file.name)
            for file in files:
                os.utime(file)
            cache.prune(directory, PACKAGE_FILES_KEPT)
        return files

    def _configure(self) -> None:
        for name in ("empty", "lists/partial", "archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        preferred = self.suite if self.suite.endswith("-backports") else ""
        configuration = CONFIGURATION.format(folder=self._folder, preferred=preferred) + _proxies()
        (self._folder / "apt.conf").write_text(configuration)
        sources, lines = self._folder / "sources.list", source_lines(self.suite, mirrors())
        if not sources.exists() or sources.read_text() != lines:
            self._fetched.unlink(missing_ok=True)
            sources.write_text(lines)

    def _lists_last(self) -> bool:
        return self._fetched.exists() and time.time() - self._fetched.stat().st_mtime < LISTS_LAST_S

    def _fetch_lists(self) -> None:
        try:
            self._run("apt-get", "update", "--error-on=any")
        except AptError as error:
            if not self._fetched.exists():
                raise
            print(f"{self.suite}: going on with older package lists: {error}", file=sys.stderr)
        else:
            shutil.rmtree(self._folder / "resolved", ignore_errors=True)
            self._fetched.touch()

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        command = [program, "-qq", *arguments]
        environment = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(command, check=False, env=environment, cwd=cwd, capture_output=True, text=True)
        except FileNotFoundError:
            raise AptError(f"no {program} here: a guest is built on Debian, from its packages") from None
        if done.returncode != 0:
            raise AptError(f"{self.suite}: {shlex.join(command)} failed: {done.stderr.strip()}")
        return done.stdout


def source_lines(suite: str, found: Mirrors) -> str:
    """Return the text of sources.list for `suite`; for backports also the lines of its release, and security updates if
    there are any."""
    if not found.archive:
        raise AptError("no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d: name one there")
    release = suite[: -len("-backports")] if suite.endswith("-backports") else suite
    sources = [(found.archive, name) for name in sorted({release, suite})]
    if found.security and release != "sid":
        sources.append((found.security, f"{release}-security"))
    return "".join(f"deb [signed-by={KEYRING}] {uri} {name} main\n" for uri, name in sources)


def _proxies() -> str:
    """Return how the machine's own apt is configured to reach its mirrors."""
    dumped = subprocess.run(["apt-config", "dump"], check=False, capture_output=True, text=True)
    lines = dumped.stdout.splitlines(keepends=True)
    return "".join(line for line in lines if re.match(r"Acquire::https?\b", line))
