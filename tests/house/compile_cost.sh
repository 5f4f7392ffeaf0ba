#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a compiler and leaves the CPU seconds it took beside its object: OBJECT.seconds. Usage: compile_cost.sh COMPILER ARG...
# ccache runs it as CCACHE_PREFIX, so what comes from the cache leaves nothing (and no newer file than its object).
object=
for ((i = 1; i < $#; ++i)); do
  if [ "${!i}" = -o ]; then
    next=$((i + 1))
    object=${!next}
  fi
done
if [[ $object != *.o ]]; then exec "$@"; fi
TIMEFORMAT='%U %S'
exec 3>&2
{ time "$@" 2>&3; } 2> "$object.seconds"
