"""Make `python3 tests/vm` the command line, whatever the working directory is."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # it was this folder, whose modules are vm.*
sys.exit(importlib.import_module("vm.cli").main())
