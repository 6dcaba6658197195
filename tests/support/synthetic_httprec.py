"""Run the real httprec without a kernel: a thread makes calls with stacks, faster than they can be written."""

from __future__ import annotations

import itertools
import os
import threading
import time
from unittest import mock

from httprec import main
from httprec.loader import TracingOptions
from support.synthetic import SyntheticTracer

STACK_BYTES = 4096
RING_SIZE = 1 << 17


class FlowingTracer(SyntheticTracer):
    """Accept the same arguments as the real tracer."""

    def __init__(self, options: TracingOptions) -> None:
        super().__init__(RING_SIZE)

    def __exit__(self, *exception: object) -> None:
        pass

    def reads_maps(self) -> bool:
        return True

    def start(self) -> None:
        threading.Thread(target=self._flow, daemon=True).start()

    def _flow(self) -> None:
        for number in itertools.count(1):
            self.send_stack(number, memory=os.urandom(STACK_BYTES))
            self.send_call(number, number, t2=time.monotonic_ns())
            time.sleep(0.001)


if __name__ == "__main__":
    with mock.patch("httprec.main.Tracer", FlowingTracer), mock.patch("httprec.check.problems", list):
        main.main()
