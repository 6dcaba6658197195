"""Make a root file system of unpacked packages without running their scripts.

`complete` makes what those scripts would have made, as far as a guest needs it. Two programs of the new
system run while it is made, under chroot and as root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from vm.contents import ETC

FOLDERS = [
    *["proc", "sys", "dev", "tmp", "run", "mnt", "root", "home/sre"],
    *["var/tmp", "var/www", "var/lib/nginx", "var/log/nginx"],
]
DOCUMENTATION = ["usr/share/doc", "usr/share/man", "usr/share/locale"]
SIZE = "2G"  # of the file, which has holes: about 400 MiB are written


class ImageError(Exception):
    """Report which part of the guest cannot be built, and why."""


def make(packages: Sequence[Path], root: Path) -> None:
    """Unpack `packages` into the new folder `root` and complete them. Raises ImageError."""
    if os.getuid() != 0:
        raise ImageError("a guest is built by root, since its files keep their owners: run this as root")
    for folder in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    for package in packages:
        unpack(package, root)
    complete(root)


def unpack(package: Path, root: Path, members: str = "*") -> None:
    """Unpack the files of `package` whose names match `members` into `root`. Raises ImageError."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        # Links to folders are kept: packages up to Debian 12 have files in /bin and /lib.
        options = ["-xp", "--keep-directory-symlink", "--wildcards", members]
        run(["tar", "-C", root, *options], stdin=archive.stdout)
    if archive.returncode != 0:
        raise ImageError(f"{package} cannot be read: delete it and try again")


def complete(root: Path) -> None:
    """Make what the scripts of the packages in `root` would have made. Raises ImageError."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    os.chown(root / "home/sre", 1000, 1000)
    (root / "var/tmp").chmod(0o1777)
    for name, text in ETC.items():
        (root / "etc" / name).write_text(text)
    for folder in DOCUMENTATION:
        shutil.rmtree(root / folder, ignore_errors=True)
    certificates = sorted(root.glob("usr/share/ca-certificates/**/*.crt"))
    bundle = "".join(path.read_text() for path in certificates)
    (root / "etc/ssl/certs/ca-certificates.crt").write_text(bundle)
    _link_commands(root)
    run(["/sbin/ldconfig", "-r", root])
    # This halves the time to import bcc in the guest. Some packages hold templates that cannot be compiled.
    libraries = [f"/{path.relative_to(root)}" for path in root.glob("usr/lib/python3*")]
    subprocess.run(["chroot", root, "/usr/bin/python3", "-m", "compileall", "-qq", *libraries], check=False)


def _link_commands(root: Path) -> None:
    """Link every command that no package provides to busybox, and sh to dash."""
    commands = {path.name for folder in ("bin", "sbin") for path in (root / "usr" / folder).iterdir()}
    for applet in run(["chroot", root, "/bin/busybox", "--list"]).split():
        if applet not in commands:
            (root / "usr/bin" / applet).symlink_to("dash" if applet == "sh" else "busybox")


def make_file_system(root: Path, path: Path) -> None:
    """Write the folder `root` into the new file `path` as an ext4 file system. Raises ImageError."""
    options = ["-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=0,nodiscard", "-m", "0"]
    run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", root, path, SIZE])


def run(command: Sequence[str | Path], *, stdin: IO[bytes] | None = None, cwd: Path | None = None) -> str:
    """Return the standard output of `command`. Raises ImageError, with its standard error, when it fails."""
    try:
        done = subprocess.run(command, check=False, stdin=stdin, cwd=cwd, capture_output=True)
    except FileNotFoundError:
        raise ImageError(f"no {command[0]} here: install the package that has it") from None
    if done.returncode != 0:
        raise ImageError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")
