#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what ql needs to be built and tested on Debian 12. Usage: scripts/setup.sh [--build | --full]
#   --build  only what a build without tests needs (the library, the examples, the program)
#   --full   also the compilers and tools of scripts/test.sh --full, LibTorch for its example, and what builds the site
# nvcc is not installed: Debian's main section has no CUDA toolkit of the needed age. Without it ql::cuda is left out and
# its kernels are tested in emulation. Get it (12.8 or newer) from NVIDIA's Debian repository (cuda-nvcc and cuda-cudart-dev) or
# as Python packages (nvidia-cuda-nvcc, nvidia-cuda-runtime), and put nvcc on the path or its folder's parent into CUDA_HOME.
set -euo pipefail

packages=(g++ cmake ninja-build libeigen3-dev libboost-dev libfmt-dev libsimdjson-dev libpcre2-dev libutf8proc-dev
          libtomlplusplus-dev zlib1g-dev libcurl4-openssl-dev libcli11-dev pkgconf dpkg-dev)
tested=(libgtest-dev libgmock-dev libbenchmark-dev python3 git ccache clang-19 libclang-rt-19-dev)
case "${1:-}" in
  "") packages+=("${tested[@]}") ;;
  --build) ;;
  --full)
    packages+=("${tested[@]}" libtorch-dev doxygen mkdocs lintian libopenmpi-dev openmpi-bin clang-16 clang-tidy-19
               clang-format-19 libclang-rt-16-dev)
    ;;
  *) echo "usage: scripts/setup.sh [--build | --full]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  echo "setup: not a Debian system; install the equivalents of: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" != installed ]; then missing+=("$package"); fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: everything needed is installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; }; then
    as_root=(sudo)
  else
    echo "setup: these packages are missing and this user may not install them; run as root:" >&2
    echo "  apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
