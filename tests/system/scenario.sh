#!/usr/bin/env bash
# Runs one scenario of tests/system/programs: scenario.sh NODES TRANSPORT TRAP DSMRUN PROGRAM SCENARIO
# DSM_TRANSPORT and DSM_TRAP of the environment come first; ADAPTERS are added to the wire. Ends with 77, not run, where this machine has no such trap, or cannot scan.
set -uo pipefail

nodes=$1
export DSM_TRANSPORT=${DSM_TRANSPORT:-$2}${ADAPTERS:++$ADAPTERS} DSM_TRAP=${DSM_TRAP:-$3}
shift 3
# A job of one node needs no wire.
[[ $nodes -gt 1 ]] || unset DSM_TRANSPORT

output=$("$1" -n "$nodes" "${@:2}" </dev/null 2>&1)
status=$?
printf '%s\n' "$output"
if [[ $output == *"DSM_TRAP=$DSM_TRAP cannot be used here"* || $output == *"DSM_WATCH=scan cannot be used here"* ]]; then exit 77; fi
[[ $status -eq 0 ]] || { echo "scenario.sh: it ended with status $status"; exit 1; }
[[ $output == *"PASS $3"* ]] || { echo "scenario.sh: node 0 did not say that it passed"; exit 1; }
