"""Write man pages and shell completions of both commands, from the definitions of their options.

make_man.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import write_man_pages

import httprec.main
import httpreport.cli.main
from httprec import __version__

COMMANDS: dict[str, click.Command] = {"httprec": httprec.main.command, "httpreport": httpreport.cli.main.main}
SHELLS = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}  # with the name that each gives to the file of a command


def make(folder: Path) -> list[Path]:
    """Write FOLDER/man1 and FOLDER/completion/SHELL, each with a file for each command, and return the files."""
    pages, made = folder / "man1", []
    pages.mkdir(parents=True, exist_ok=True)
    for name, command in COMMANDS.items():
        write_man_pages(name, command, version=__version__, target_dir=str(pages))
        made.append(pages / f"{name}.1")
        for shell, file_name in SHELLS.items():
            path = folder / "completion" / shell / file_name.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            completion = get_completion_class(shell)
            assert completion is not None
            path.write_text(completion(command, {}, name, f"_{name.upper()}_COMPLETE").source())
            made.append(path)
    return made


if __name__ == "__main__":
    for path in make(Path(sys.argv[1])):
        print(f"   {path}")
