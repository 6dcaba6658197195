#!/usr/bin/env bash
# Law: the libraries in reporter/httpreport/page/vendor are what npm publishes.
#
#     tests/vendor.sh [--update]
#
# Fetches them with npm and compares; with --update, takes over what differs.
set -euo pipefail
vendor=$(cd "$(dirname "$0")/../reporter/httpreport/page/vendor" && pwd)
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
cd "$fetched"

fetch() { # NAME VERSION FILE: the minified file of a package, and its licence
    npm pack --silent "$1@$2" >/dev/null
    tar -xzf "$1-$2.tgz"
    mv "package/$3" "$1.min.js"
    mv package/LICENSE "$1.LICENSE"
    rm -r package "$1-$2.tgz"
}

fetch d3 7.9.2 dist/d3.min.js
fetch d3-flame-graph 5.0.0 dist/d3-flamegraph.umd.min.js
sha256sum -- * >SHA256SUMS
if [ "${1:-}" = --update ]; then cp -- * "$vendor"; fi
diff -r -x README . "$vendor" && echo "as published"
