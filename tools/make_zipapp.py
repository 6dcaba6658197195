"""Make httprec.pyz: the recorder in one file, with everything that it needs except the distribution's packages.

    make_zipapp.py FILE

It packs the installed packages. Python starts in isolated mode (-I), so that no user can change what root imports.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipapp
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("httprec", "httpbpf", "httpcapture")
PYTHON = "/usr/bin/python3 -I"
LICENCES = ("LICENSE", "LICENSES")


def make(path: Path) -> Path:
    """Write the zipapp to `path` and return it."""
    with tempfile.TemporaryDirectory(prefix="httprec-zipapp-") as folder:
        for source in [*map(_installed, PACKAGES), *(ROOT / name for name in LICENCES)]:
            copy = Path(folder) / source.name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        path.parent.mkdir(exist_ok=True)
        zipapp.create_archive(folder, path, PYTHON, "httprec.main:main", compressed=True)
    return path


def _installed(package: str) -> Path:
    return Path(str(resources.files(package)))


if __name__ == "__main__":
    print(f"   {make(Path(sys.argv[1]))}")
