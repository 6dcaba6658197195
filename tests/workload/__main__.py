"""Makes `python3 tests/workload` the demonstration, whatever the working directory."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # it was this folder, whose modules are workload.*
sys.exit(importlib.import_module("workload.demo").main())
