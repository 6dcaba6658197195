#!/usr/bin/env bash
# Install what a target of the Makefile needs, then run it; print the name and the time of each step.
#
#     tools/run.sh demo|test|quick|test-kernels|test-clients|lint|bench|fuzz [SECONDS]|soak [SECONDS]|wheel|zipapp|man
#
# Missing Debian packages are installed. Python is Debian's. The Python packages that pyproject.toml names are installed
# once for each content of that file, into the user's caches. The wheel under test is built and installed anew in every
# run, into an environment of its own that also sees those packages and Debian's bcc.
set -euo pipefail
unset CDPATH PYTHONPATH PYTHONHOME
cd "$(dirname "$0")/.."
umask 022 # the ordinary user of the demo must be able to read what is installed

python=/usr/bin/python3
guest_packages=(qemu-system-x86 seabios e2fsprogs cpio)
quick_packages=(python3-bpfcc bpftool binutils curl gcc g++ libc6-dev gdb golang-go groff-base libgnutls30 nodejs rustc zstd)
test_packages=("${quick_packages[@]}" chromium chromium-driver nghttp2-proxy python3-dbg python3-grpcio)
client_packages=(curl default-jdk-headless golang-go nghttp2-proxy nodejs python3-aiohttp python3-grpcio python3-h2 python3-httpx)
client_packages+=(python3-requests wget)
dependencies= # the environment with the packages that pyproject.toml names
installed=    # the environment with the wheel
work=         # a temporary folder of this run
caches=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/httprec-venv
target=${1:-}
target_started=$EPOCHSECONDS
trap 'rm -rf "$work"' EXIT

as_root() { # WHAT FOR
    [ "$(id -u)" = 0 ] && return
    echo "make $target must run as root, $1: sudo make $target" >&2
    exit 1
}

make_work_folder() { # in a file system whose programs can be run, because tests compile some
    local folder
    for folder in "${TMPDIR:-/tmp}" /var/tmp; do
        work=$(mktemp -d "$(realpath "$folder")/httprec-run.XXXXXX") || continue
        printf '#!/bin/sh\n' >"$work/program"
        chmod +x "$work/program"
        if "$work/program" 2>/dev/null; then
            export TMPDIR=${work%/*}
            return
        fi
        rm -rf "$work"
        echo "Programs in $folder cannot be run: it is mounted noexec" >&2
    done
    echo "Choose a folder for temporary files in which programs can be run: TMPDIR=FOLDER make $target" >&2
    exit 1
}

step() { # TITLE COMMAND...
    local title=$1 started=$EPOCHREALTIME
    shift
    printf '== %s\n' "$title"
    "$@"
    printf '   %s s\n' "$(seconds_since "$started")"
}

seconds_since() { awk -v now="$EPOCHREALTIME" -v then="$1" 'BEGIN { printf "%.1f", now - then }'; }

quietly() { # COMMAND...: print its output only if it fails
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

say_total() { printf '== make %s: %s s in all\n' "$target" "$((EPOCHSECONDS - target_started))"; }

debian_packages() { # NAME...
    local missing=() name
    for name in python3-venv "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    if [ ${#missing[@]} = 0 ]; then
        echo "   all installed"
    elif [ "$(id -u)" != 0 ]; then
        echo "not root: as root, apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    else
        echo "   apt-get install ${missing[*]}"
        mkdir -p "$caches"
        (
            flock 9 # one run at a time installs
            # The package lists may be missing, or name packages that the mirror no longer has; then fetch the lists.
            quietly apt_install "${missing[@]}" 2>/dev/null || { quietly apt-get -q update; quietly apt_install "${missing[@]}"; }
        ) 9>"$caches/apt.lock"
    fi
}

apt_install() { # NAME...: wait for another apt, which may run after a machine has started
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@"
}

python_packages() {
    dependencies=$caches/$({ $python --version; cat pyproject.toml; } | sha256sum | cut -c1-16)
    mkdir -p "$caches"
    (
        flock 9 # one run at a time creates the environment
        if [ -e "$dependencies/complete" ]; then
            echo "   found in $dependencies"
        else
            echo "   pip install into $dependencies"
            rm -rf "$dependencies"
            $python -m venv "$dependencies"
            named_packages | quietly "$dependencies/bin/pip" install -r /dev/stdin
        fi
        touch "$dependencies/complete"
        ls -1dt "$caches"/*/complete | tail -n +4 | while IFS= read -r old; do rm -rf "${old%/*}"; done
    ) 9>"$caches/lock"
}

named_packages() {
    $python -c '
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["dependencies"], *sum(project["optional-dependencies"].values(), []), sep="\n")'
}

build_wheel() { # FOLDER
    quietly "$dependencies/bin/python" -m build --outdir "$1" # the sdist, and from the sdist the wheel
    ls -1 "$1"/*.whl | sed 's/^/   /'
}

install_wheel() {
    installed=$work/venv
    $python -m venv --without-pip --system-site-packages "$installed"
    echo "$dependencies"/lib/python3*/site-packages >"$(echo "$installed"/lib/python3*/site-packages)/dependencies.pth"
    quietly "$dependencies/bin/pip" --python "$installed/bin/python" install --no-deps --no-index "$work"/dist/*.whl
}

lint() {
    "$dependencies/bin/ruff" check
    "$dependencies/bin/ruff" format --check
    "$dependencies/bin/mypy"
    for script in reporter/httpreport/outputs/page/*.js; do node --check "$script"; done
}

prepare() { # PACKAGE...: everything up to the installed wheel
    step "Debian packages" debian_packages "$@"
    step "Python packages of pyproject.toml" python_packages
    step "Build the sdist, and from it the wheel" build_wheel "$work/dist"
    step "Install the wheel" install_wheel
}

run_pytest() { "$installed/bin/python" -P -m pytest "$@"; } # -P: the tests see the installed wheel, not this folder

start_beside() { # COMMAND...: begin it in the background; its process ID is $!
    set -m # a job with a process group of its own: a plain background process, and its children, would ignore SIGINT
    "$@" >"$work/beside" 2>&1 &
    set +m
    trap 'kill -- -$! 2>/dev/null || true; rm -rf "$work"' EXIT
}

finish_with_beside() { # STATUS TITLE: wait for it and print what it printed; fail if it did, or what had this status
    local status=$1
    echo "== $2"
    wait $! || status=$?
    cat "$work/beside"
    say_total
    [ "$status" = 0 ]
}

# The tests in guests take longer than all others and use one processor, so most of them run beside the others, and the
# rest as soon as these are done.
run_tests() {
    local status=0 rest=tests/vm/test_overload.py
    start_beside run_pytest tests/vm --ignore=$rest
    echo "== Tests outside guests; most of those in guests run at the same time"
    run_pytest --ignore=tests/vm || status=$?
    echo "== The rest of the tests in guests"
    run_pytest $rest || status=$?
    finish_with_beside $status "Tests in guests that ran at the same time"
}

run_kernel_tests() {
    local status=0
    start_beside run_pytest -m "" tests/vm/test_{calls,python}.py
    echo "== Every kernel; the calls of real programs and of Python are made at the same time"
    run_pytest -m "" tests/vm/test_{grpc,kernels,protocols,slots}.py || status=$?
    finish_with_beside $status "Calls of real programs and of Python"
}

[ $# = 0 ] || make_work_folder
case ${1:-} in
demo)
    as_root "to record the whole machine, or to build a guest"
    prepare "${guest_packages[@]}" python3-bpfcc # bpfcc, because the running kernel is tried first
    step "Demo" "$installed/bin/python" tools/demo.py
    say_total
    ;;
test)
    prepare "${guest_packages[@]}" "${test_packages[@]}"
    step "Lint and types" lint
    run_tests
    ;;
test-kernels)
    as_root "to build guests"
    prepare "${guest_packages[@]}"
    run_kernel_tests
    ;;
test-clients)
    as_root "to record the whole machine"
    prepare python3-bpfcc "${client_packages[@]}"
    echo "== Tests"
    run_pytest -m "" tests/recorder/test_{client_matrix,grpc_in_tls,java_programs,server_logs}.py
    say_total
    ;;
lint)
    step "Debian packages" debian_packages nodejs
    step "Python packages of pyproject.toml" python_packages
    step "Lint and types" lint
    ;;
bench)
    as_root "to record the whole machine, and to build a guest"
    prepare "${guest_packages[@]}" "${test_packages[@]}" "${client_packages[@]}" libdw1 libpython3.11 linux-perf llvm nginx-light # the programs that are measured
    for bench in tests/bench/bench_*.py; do step "$bench" "$installed/bin/python" "$bench"; done | tee "$work/bench"
    echo "== What they show"
    sed -n 's/^>> /   /p' "$work/bench"
    say_total
    ;;
fuzz)
    prepare
    for fuzz in tests/fuzz/fuzz_*.py; do step "$fuzz, ${2:-60} s" "$installed/bin/python" "$fuzz" "${2:-60}"; done
    say_total
    ;;
soak)
    as_root "to build a guest"
    prepare "${guest_packages[@]}"
    step "Soak, ${2:-600} s" "$installed/bin/python" tests/vm soak "${2:-600}"
    say_total
    ;;
wheel)
    step "Debian packages" debian_packages
    step "Python packages of pyproject.toml" python_packages
    step "Build the sdist, and from it the wheel" build_wheel dist
    ;;
quick)
    prepare "${quick_packages[@]}"
    echo "== Tests"
    run_pytest -m quick
    say_total
    ;;
zipapp)
    prepare
    step "Build the zipapp" "$installed/bin/python" tools/make_zipapp.py dist/httprec.pyz
    ;;
man)
    prepare
    step "Write man pages and completions" "$installed/bin/python" tools/make_man.py dist/share
    ;;
*)
    echo "usage: tools/run.sh demo|test|quick|test-kernels|test-clients|lint|bench|fuzz [SECONDS]|soak [SECONDS]|wheel|zipapp|man" >&2
    exit 2
    ;;
esac
