#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes docs/errors.md from the ids in src/io/error_guide.cpp. Usage: scripts/errors_page.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build/release}
cmake --build "$build" --target qwenlong-l1
"$build/bin/qwenlong-l1" explain --page > docs/errors.md
