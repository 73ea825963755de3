#!/usr/bin/env bash
# Tests of the Python client against the real binary:
#
#   SEAWALL_BINARY=target/debug/seawall python/tests/run.sh
#
# Settings, both optional but the binary:
#   SEAWALL_BINARY        the binary               (default target/debug/seawall)
#   SEAWALL_PYTHON_VENV   packages of the tests    (default ~/.cache/seawall/python-venv)
#
# Exits with 0 when all tests pass, with 77 when the packages cannot be installed, and with anything else on a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

binary="${SEAWALL_BINARY:-${CARGO_TARGET_DIR:-target}/debug/seawall}"
[ -x "$binary" ] || { echo "no binary at $binary: run cargo build, or set SEAWALL_BINARY" >&2; exit 2; }
SEAWALL_BINARY="$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")"
export SEAWALL_BINARY
unset SEAWALL_URL SEAWALL_TOKEN

venv="${SEAWALL_PYTHON_VENV:-$HOME/.cache/seawall/python-venv}"
pins="$venv/requirements-test.txt"
if ! cmp -s python/requirements-test.txt "$pins"; then
    {
        python3 -m venv "$venv" &&
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --timeout 20 --retries 1 \
                -r python/requirements-test.txt &&
            cp python/requirements-test.txt "$pins"
    } >&2 || { echo "SKIPPED: the packages of python/requirements-test.txt cannot be installed" >&2; exit 77; }
fi
exec "$venv/bin/python" -B -m unittest discover -s python/tests "$@"
