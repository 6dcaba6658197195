#!/usr/bin/env bash
# Law: the libraries of the page, and what the tests read profiles with, are what npm publishes.
#
#     tools/vendor.sh [--update]
#
# Fetches them with npm and compares; with --update, takes over what differs.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
update=${1:-}
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT

fetch() { # NAME VERSION FILE TARGET: a file of a package as TARGET, and its licence beside it
    local archive
    archive=$(npm pack --silent "$1@$2")
    tar -xzf "$archive"
    mv "package/$3" "$4"
    mv package/LICENSE "${4%%.*}.LICENSE"
    rm -r package "$archive"
}

compare() { # FOLDER: with what was fetched
    if [ "$update" = --update ]; then cp -- * "$root/$1"; fi
    diff -r -x README . "$root/$1" && echo "$1: as published"
}

mkdir "$fetched/page" "$fetched/tests"
cd "$fetched/page"
fetch d3 7.9.2 dist/d3.min.js d3.min.js
fetch d3-flame-graph 5.0.0 dist/d3-flamegraph.umd.min.js d3-flame-graph.min.js
sha256sum -- * >SHA256SUMS
compare reporter/httpreport/outputs/page/vendor
cd "$fetched/tests"
fetch @firefox-devtools/profiler-cli 0.10.0 dist/profiler-cli.js profiler-cli.js
gzip -n9 profiler-cli.js # it is built, not to be read
compare tests/reporter/data/profiler-cli
