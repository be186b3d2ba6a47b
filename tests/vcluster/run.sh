#!/usr/bin/env bash
# One test on virtual nodes: run.sh VCLUSTER BACKEND STATUS [--prints TEXT]... [--not TEXT]... NODES OPTIONS... -- COMMAND...
# Passes when COMMAND ends with STATUS, every TEXT was printed, and none that --not names. Ends with 77, not run, where virtual
# nodes are not prepared, or cannot be had; the reason is printed.
set -uo pipefail

vcluster=$1 backend=$2 expected=$3
shift 3
texts=() unwanted=()
while [[ ${1:-} == --prints || ${1:-} == --not ]]; do
  if [[ $1 == --prints ]]; then texts+=("$2"); else unwanted+=("$2"); fi
  shift 2
done
nodes=$1
shift

reason=$("$vcluster" --ready --backend "$backend" 2>&1)
case $? in
  0) ;;
  77)
    echo "not run: $reason"
    exit 77
    ;;
  *)
    echo "$reason"
    exit 1
    ;;
esac

output=$("$vcluster" -n "$nodes" --backend "$backend" "$@" </dev/null 2>&1)
status=$?
printf '%s\n' "$output"
[[ $status -eq $expected ]] || { echo "run.sh: it ended with status $status, not $expected"; exit 1; }
for text in "${texts[@]}"; do
  [[ $output == *"$text"* ]] || { echo "run.sh: it did not print '$text'"; exit 1; }
done
for text in "${unwanted[@]}"; do
  [[ $output != *"$text"* ]] || { echo "run.sh: it printed '$text'"; exit 1; }
done
