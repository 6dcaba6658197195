"""Define the command line of the guest harness, for use by hand."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from vm import guest
from vm.apt import AptError
from vm.image import image
from vm.rootfs import ImageError
from vm.soak import soak

NO_RESULT = 125


def main() -> int:
    """Build a guest, run a job in one, or run the soak; return the job's exit status, or NO_RESULT."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(NO_RESULT))  # so that the guest is ended too
    try:
        if arguments.command == "build":
            print(image(arguments.suite, arguments.kernel or arguments.suite))
            return 0
        return soak(arguments.seconds) if arguments.command == "soak" else _run(arguments)
    except (AptError, ImageError, guest.GuestError) as error:
        print(error, file=sys.stderr)
        return NO_RESULT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 tests/vm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the guest")
    run = commands.add_parser("run", help="build the guest and run a job in it")
    for command in (build, run):
        command.add_argument("--suite", default=guest.SUITE, help="where its packages are from (%(default)s)")
        command.add_argument("--kernel", metavar="SUITE", help="where its kernel is from (default: SUITE)")
    run.add_argument("--memory", type=int, default=1536, metavar="MIB")
    run.add_argument("--cpus", type=int, default=2)
    run.add_argument("--timeout", type=float, default=guest.MOST_S, metavar="SECONDS")
    run.add_argument("job", type=Path, metavar="JOBDIR", help="a folder; its run.sh is run as root")
    run.add_argument("out", type=Path, metavar="OUTDIR", help="where the guest's /tmp/out is put")
    long_load = commands.add_parser("soak", help="record as many calls as the guest bears")
    long_load.add_argument("seconds", type=float, metavar="SECONDS")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    result = guest.run(
        arguments.job,
        arguments.out,
        suite=arguments.suite,
        kernel=arguments.kernel,
        memory_mib=arguments.memory,
        cpus=arguments.cpus,
        timeout_s=arguments.timeout,
        verbose=True,
    )
    return result.exit_code
