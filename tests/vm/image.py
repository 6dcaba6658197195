"""Build a guest from three files, a kernel, an initramfs and a root file system, each once for its inputs.

All of our files that run in the guest are in the initramfs, so changing them does not rebuild the root file system.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm import cache, contents, rootfs
from vm.apt import Apt, AptError, Package
from vm.rootfs import ImageError

HERE = Path(__file__).resolve().parent
SCRIPTS = {"init": HERE / "init-initramfs", "init-root": HERE / "init-root"}
BUILDER = "".join((HERE / f"{name}.py").read_text() for name in ("image", "rootfs", "contents"))
KERNEL = "linux-image-cloud-amd64"  # has NVMe and ext4 built in: a guest needs no modules


@dataclass(frozen=True)
class Image:
    """Hold the files from which a guest is booted."""

    kernel: Path
    initramfs: Path
    root: Path


def image(suite: str, kernel_suite: str) -> Image:
    """Return `suite`'s packages on `kernel_suite`'s kernel, built if the cache lacks them.

    Raises AptError if packages cannot be had, ImageError if they cannot be made into a guest.
    """
    try:
        return _image(suite, kernel_suite, fetch_lists=False)
    except AptError:  # a mirror deletes what it replaces: even lists of today can name what is gone
        return _image(suite, kernel_suite, fetch_lists=True)


def image_key(suite: str, packages: Sequence[Package], *texts: str) -> str:
    """Return the key of what is built from `packages` and `texts`; it changes with them and with the way of
    building."""
    return cache.key(suite, [package.file_name for package in packages], texts, BUILDER)


def _image(suite: str, kernel_suite: str, *, fetch_lists: bool) -> Image:
    apt = Apt(suite, fetch_lists=fetch_lists)
    kernel_apt = apt if kernel_suite == suite else Apt(kernel_suite, fetch_lists=fetch_lists)
    return Image(_kernel(kernel_apt), _initramfs(apt), _root(apt))


def _kernel(apt: Apt) -> Path:
    resolved = apt.resolve([KERNEL])
    # linux-image-VERSION holds the kernel or, as Debian's 7.2 does, depends on linux-binary-VERSION for it.
    binaries = [p for p in resolved if re.match(r"linux-binary-[0-9]", p.name)]
    packages = binaries or [p for p in resolved if re.match(r"linux-image-[0-9]", p.name)]

    def build(space: Path) -> Path:
        for package in apt.download(packages):
            rootfs.unpack(package, space, "*/vmlinuz*")
        found = list(space.rglob("vmlinuz*"))
        if len(found) != 1:
            raise ImageError(f"one kernel expected in {packages}, found: {found}")
        return found[0]

    return cache.entry("kernel", image_key(apt.suite, packages), build, keep=10)


def _initramfs(apt: Apt) -> Path:
    packages = [p for p in apt.resolve(["busybox-static"]) if p.name == "busybox-static"]
    scripts = [path.read_text() for path in SCRIPTS.values()]

    def build(space: Path) -> Path:
        root = space / "root"
        for folder in ("bin", "proc", "sys", "dev", "root"):
            (root / folder).mkdir(parents=True)
        for package in apt.download(packages):
            rootfs.unpack(package, space, "*/bin/busybox")
        [busybox] = space.rglob("busybox")
        busybox.rename(root / "bin/busybox")
        for name, path in SCRIPTS.items():
            shutil.copy(path, root / name)
        archive = space / "initramfs"
        rootfs.run(["sh", "-c", f"find . | cpio --quiet -o -H newc -O '{archive}'"], cwd=root)
        return archive

    return cache.entry("initramfs", image_key(apt.suite, packages, *scripts), build, keep=10)


def _root(apt: Apt) -> Path:
    resolved = apt.resolve(contents.wanted(apt.suite))
    packages = [p for p in resolved if not re.fullmatch(contents.NEEDLESS, p.name)]

    def build(space: Path) -> Path:
        rootfs.make(apt.download(packages), space / "root")
        rootfs.make_file_system(space / "root", space / "image")
        return space / "image"

    return cache.entry("root", image_key(apt.suite, packages), build, keep=5)
