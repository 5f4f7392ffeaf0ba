#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the documentation as a site, without a network: the guide by MkDocs, the reference by Doxygen, in site/ and
# site/api/. Usage: scripts/site.sh [FOLDER]   (default: build/site)
# It needs doxygen and mkdocs: Debian's packages (scripts/setup.sh --full installs them), or mkdocs from PyPI in a virtual
# environment that is on the path. A link that leads nowhere fails it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(realpath -m "${1:-build/site}")

for program in doxygen mkdocs; do
  command -v "$program" > /dev/null || { echo "site: $program is not installed (scripts/setup.sh --full)" >&2; exit 77; }
done
rm -rf "$out/pages" "$out/site"
mkdir -p "$out"
python3 scripts/site.py "$out"

mkdocs build --quiet --strict --config-file "$out/mkdocs.yml" --site-dir "$out/site"

version=$(sed -nE 's/^#define QL_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' include/ql/version.hpp | paste -sd .)
doxygen -q - > "$out/doxygen.log" 2>&1 << EOF_DOXYGEN || { cat "$out/doxygen.log"; exit 1; }
PROJECT_NAME = ql
PROJECT_NUMBER = $version
PROJECT_BRIEF = "Reinforcement learning of language models that read long documents"
INPUT = include/ql
RECURSIVE = YES
FILE_PATTERNS = *.hpp *.cuh
EXCLUDE_PATTERNS = */detail/* */simd/*
EXCLUDE_SYMBOLS = *::detail::*
STRIP_FROM_INC_PATH = include
# ql's comments are plain ones
FILTER_PATTERNS = "*.hpp=python3 scripts/site.py --comments" "*.cuh=python3 scripts/site.py --comments"
MARKDOWN_SUPPORT = NO
EXTRACT_ALL = YES
QUIET = YES
WARN_IF_UNDOCUMENTED = NO
WARN_IF_INCOMPLETE_DOC = NO
GENERATE_LATEX = NO
HTML_OUTPUT = $out/site/api
HTML_TIMESTAMP = NO
HAVE_DOT = NO
SOURCE_BROWSER = YES
ENABLE_PREPROCESSING = YES
PREDEFINED = QL_HD=
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
EOF_DOXYGEN
if grep -E "unable to resolve|broken|not found" "$out/doxygen.log"; then
  echo "site: Doxygen found references that lead nowhere" >&2
  exit 1
fi
echo "site: $(find "$out/site" -name '*.html' | wc -l) pages; begin at $out/site/index.html"
