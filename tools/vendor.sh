#!/usr/bin/env bash
# Check that the libraries of the page, and the program with which tests read profiles, are those that npm publishes.
#
#     tools/vendor.sh [--update]
#
# Fetch them with npm and compare; with --update, replace the files that differ.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
update=${1:-}
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT

fetch() { # NAME VERSION FILE TARGET: store a file of a package as TARGET, and the package's licence beside it
    local archive
    archive=$(npm pack --silent "$1@$2")
    tar -xzf "$archive"
    mv "package/$3" "$4"
    mv package/LICENSE "${4%%.*}.LICENSE"
    rm -r package "$archive"
}

compare() { # FOLDER: compare its files with the fetched ones
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
gzip -n9 profiler-cli.js # minified, so nobody reads it
compare tests/reporter/data/profiler-cli
