#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment of the peers: install.sh [FOLDER]   (default /opt/ql-peers, or $QL_PEERS_VENV)
# About 1.7 GB on disk. Needs python3 with venv, cc and readelf. On failure falls back to torch with all its wheels.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-${QL_PEERS_VENV:-/opt/ql-peers}}
stamp=$venv/ql-peers.stamp
want=$(cat "$here"/requirements*.txt "$here/cuda_stubs.py" "$here/mkl_intel_path.c" "$0" | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi

echo "peers: installing into $venv" >&2
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --no-deps -r "$here/requirements-torch.txt"
# pip warns that torch's nvidia wheels and triton are missing: that is meant.
"$venv/bin/pip" install --quiet -r "$here/requirements.txt" 2> "$venv/pip.log" || { cat "$venv/pip.log" >&2; exit 1; }
"$venv/bin/python" "$here/cuda_stubs.py" >&2 || echo "peers: cuda_stubs.py failed" >&2
if ! "$venv/bin/python" -c 'import torch, transformers; torch.ones(2, 2) @ torch.ones(2, 2)' 2> "$venv/import.log"; then
  tail -3 "$venv/import.log" >&2
  echo "peers: torch does not import with stand-ins; installing it with all its wheels (several GB)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$here/requirements-torch.txt" -r "$here/requirements.txt"
  "$venv/bin/python" -c 'import torch, transformers'
fi
mkdir -p "$venv/lib"
cc -O1 -shared -fPIC "$here/mkl_intel_path.c" -o "$venv/lib/libql_mkl_intel_path.so"
echo "$want" > "$stamp"
"$venv/bin/python" -c 'import torch; print("peers: torch", torch.__version__, torch.backends.cpu.get_cpu_capability())' >&2
