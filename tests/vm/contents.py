"""List what a guest holds besides its kernel."""

from __future__ import annotations

SYSTEM = ["busybox-static", "dash", "libc-bin", "iproute2", "procps"]
RECORDER = ["python3", "python3-bpfcc", "python3-msgpack", "python3-zstandard", "python3-click"]
WORKLOAD = [
    *["nginx-light", "gunicorn", "python3-eventlet", "python3-requests", "python3-aiohttp"],
    *["nodejs", "curl"],
]
ABSENT = {"bullseye": ["python3-zstandard"]}  # which has python3-zstd only, another library

# What packages depend on and a guest can do without: compilers, which are most of the size (bcc has its own),
# what only the scripts of packages call, which are not run, and what busybox has.
NEEDLESS = (
    r"(gcc|cpp)-[0-9]+(-x86-64-linux-gnu)?|libgcc-[0-9]+-dev|libcc1-0|lib(a|l|t|ub|hwa)san[0-9]*|libicu-none"
    r"|binutils.*|libbinutils|libgprofng0|libisl23|libmpc3|libmpfr6|pahole|linux-(image|compiler)-.*"
    r"|debconf|dpkg|tar|init-system-helpers|usrmerge|perl(-base|-modules-.*)?|libperl5.*|lib.*-perl"
)

# Files that the scripts of packages make.
ETC = {
    "passwd": """\
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
sre:x:1000:1000:sre:/home/sre:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
""",
    "group": """\
root:x:0:
adm:x:4:
tty:x:5:
www-data:x:33:
sre:x:1000:
nogroup:x:65534:
""",
    "nsswitch.conf": """\
passwd: files
group: files
hosts: files dns
services: files
protocols: files
""",
    "hosts": """\
127.0.0.1 localhost guest
::1 localhost
""",
    "host.conf": "multi on\n",  # localhost is both of its addresses
    "hostname": "guest\n",
    "resolv.conf": "nameserver 127.0.0.1\n",  # nobody there: a name that is not in hosts fails at once
}


def wanted(suite: str) -> list[str]:
    """Return the packages to ask for in `suite`; their dependencies come with them."""
    return [name for name in SYSTEM + RECORDER + WORKLOAD if name not in ABSENT.get(suite, [])]
