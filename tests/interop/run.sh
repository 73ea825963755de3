#!/usr/bin/env bash
# Other programs read tables that the real binary wrote:
#
#   SEAWALL_BINARY=target/debug/seawall tests/interop/run.sh
#
# Settings, all optional:
#   SEAWALL_BINARY         the binary                (default target/debug/seawall)
#   SEAWALL_INTEROP_VENV   packages of the readers   (default ~/.cache/seawall/interop-venv)
#
# Exits with 0 when all readers agree, with 77 when the packages cannot be installed, and with anything else otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

binary="${SEAWALL_BINARY:-${CARGO_TARGET_DIR:-target}/debug/seawall}"
[ -x "$binary" ] || { echo "no binary at $binary: run cargo build, or set SEAWALL_BINARY" >&2; exit 2; }
venv="${SEAWALL_INTEROP_VENV:-$HOME/.cache/seawall/interop-venv}"
pins="$venv/requirements.txt"
if ! cmp -s tests/interop/requirements.txt "$pins"; then
    {
        python3 -m venv "$venv" &&
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --timeout 20 --retries 1 \
                -r tests/interop/requirements.txt &&
            cp tests/interop/requirements.txt "$pins"
    } >&2 || { echo "SKIPPED: the packages of tests/interop/requirements.txt cannot be installed" >&2; exit 77; }
fi
unset SEAWALL_TOKEN SEAWALL_TABLES
exec "$venv/bin/python" -B tests/interop/check.py "$binary"
