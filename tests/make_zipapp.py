"""Makes httprec.pyz: the recorder in one file, with all that it needs but the distribution's packages.

    make_zipapp.py FILE

What is packed is what is installed. Python is started isolated (-I): who runs it as root has no say in what it imports.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipapp
from pathlib import Path

from support.source import ROOT
from vm.recorded import RECORDER, installed

PYTHON = "/usr/bin/python3 -I"
LICENCES = ("LICENSE", "LICENSES")


def make(path: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="httprec-zipapp-") as folder:
        for source in [*map(installed, RECORDER), *(ROOT / name for name in LICENCES)]:
            copy = Path(folder) / source.name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        path.parent.mkdir(exist_ok=True)
        zipapp.create_archive(folder, path, PYTHON, "httprec.main:main", compressed=True)
    return path


if __name__ == "__main__":
    print(f"   {make(Path(sys.argv[1]))}")
