#!/usr/bin/env bash
# A test of a whole command: expect.sh ok|fails TEXT COMMAND...
# Passes when the command succeeds (or fails, as said) and what it printed contains TEXT.
set -uo pipefail

expected=$1 text=$2
shift 2
output=$("$@" </dev/null 2>&1)
status=$?
printf '%s\n' "$output"
if [[ $expected == ok ]]; then
  [[ $status -eq 0 ]] || { echo "expect.sh: it ended with status $status"; exit 1; }
else
  [[ $status -ne 0 ]] || { echo "expect.sh: it succeeded, and should not"; exit 1; }
  # 128 and more is death by a signal: no error message, but a crash.
  [[ $status -lt 128 ]] || { echo "expect.sh: it died with status $status"; exit 1; }
fi
[[ $output == *"$text"* ]] || { echo "expect.sh: it did not print '$text'"; exit 1; }
