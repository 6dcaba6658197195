"""Find the TCP ports on which processes listen: who has one end of a connection there is the server of its calls.

The kernel shows the sockets of a network namespace in /proc/PID/net/tcp and tcp6 of each process that is in it: the
listening ones first, whose state is 0A (net/ipv4/tcp_ipv4.c, tcp_seq_start and get_tcp4_sock).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from . import tuning

Port = tuple[int, int]  # the inode of a network namespace, and a port in it
_SOCKET = re.compile(rb" *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) ")
_LISTENING = b"0A"
_MAX_LINE = 512  # bytes; lines of tcp6 have fewer than 200


class Listeners(NamedTuple):
    """Hold the listening ports of the network namespaces that were read as a whole, each of which also has port 0, and
    say what was left out."""

    ports: Set[Port]
    left_out: Sequence[str]


class _Table(NamedTuple):
    """Hold the listening ports of a network namespace, and 0."""

    ports: Set[int]
    inode: int  # of its file


class _TableError(Exception):
    """Report a table that has more than `tuning.MAX_SOCKET_TABLE` bytes of listening sockets, or is none."""


def find_listeners(proc: str = "/proc") -> Listeners:
    """Return the listening ports of every network namespace that a process is in. `proc` is where procfs is mounted."""
    tables: dict[int, _Table] = {}
    beyond: set[int] = set()  # namespaces that exceed a limit
    hidden: list[int] = []  # the tables of processes whose namespace may not be read
    room = tuning.MAX_LISTENERS
    for pid in filter(str.isdecimal, os.listdir(proc)):
        process = f"{proc}/{pid}"
        try:
            namespace, folder = _namespace(process)
            if namespace in tables or namespace in beyond:
                continue
            table = _read_tables(folder) if room > 0 and len(tables) < tuning.MAX_NAMESPACES else None
            if _namespace(process)[0] != namespace:
                continue  # it has ended, or moved, while its tables were read
            if table and len(table.ports) <= room:
                tables[namespace] = table
                room -= len(table.ports)
            else:
                beyond.add(namespace)
        except _TableError:
            beyond.add(namespace)
        except PermissionError:  # the kernel also says this of a process that ends meanwhile
            with contextlib.suppress(FileNotFoundError):
                hidden.append(_table_inode(process))
        except OSError:
            continue  # it has ended
    unknown = set(hidden) - {table.inode for table in tables.values()}
    counts = {
        "network namespaces with too many listening sockets, or beyond the limits": len(beyond),
        "processes whose network namespace may not be read": sum(inode in unknown for inode in hidden),
    }
    ports = frozenset((namespace, port) for namespace, table in tables.items() for port in table.ports)
    return Listeners(ports, [f"{name} ({count})" for name, count in counts.items() if count])


def _namespace(process: str) -> tuple[int, str]:
    """Return the inode of a process's network namespace, and the folder of a thread that is in it. Raises OSError if
    there is none. The thread group leader may have ended before other threads, and is in no namespace then."""
    for folder in _threads(process):
        with contextlib.suppress(FileNotFoundError):
            return os.stat(f"{folder}/ns/net").st_ino, folder
    raise FileNotFoundError


def _threads(process: str) -> Iterator[str]:
    yield process
    for thread in os.listdir(f"{process}/task"):
        yield f"{process}/task/{thread}"


def _table_inode(folder: str) -> int:
    """Return the inode of a table of sockets, or 0 if it may not be seen. Raises FileNotFoundError if its process has
    ended. Every network namespace has files of its own (fs/proc/generic.c, proc_register), which can be seen of
    processes whose namespace cannot."""
    try:
        return os.stat(f"{folder}/net/tcp").st_ino
    except PermissionError:
        return 0


def _read_tables(folder: str) -> _Table:
    """Return the ports of both tables. Raises _TableError, or OSError if the process has ended."""
    inode = _table_inode(folder)
    ports = {0} | _read_table(f"{folder}/net/tcp")
    with contextlib.suppress(FileNotFoundError):  # the kernel was started with ipv6.disable=1
        ports |= _read_table(f"{folder}/net/tcp6")
    return _Table(ports, inode)


def _read_table(path: str) -> set[int]:
    ports, size = set[int](), 0
    with open(path, "rb") as file:
        line = file.readline(_MAX_LINE)  # the names of the columns
        while line and size < tuning.MAX_SOCKET_TABLE:
            line = file.readline(_MAX_LINE)
            socket = _SOCKET.match(line)
            if not line or (socket and socket[2] != _LISTENING):
                return ports
            if not socket:
                break
            ports.add(int(socket[1], 16))
            size += len(line)
    raise _TableError
