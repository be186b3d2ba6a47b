#!/usr/bin/env bash
# However vcluster ends, nothing that it started is left: interrupt.sh VCLUSTER BACKEND SIGNAL EXPECTED_STATUS
# The command leaves a mark with --share when it runs; from then on all nodes are up.
set -uo pipefail

vcluster=$1 backend=$2 signal=$3 expected=$4
reason=$("$vcluster" --ready --backend "$backend" 2>&1) || { echo "not run: $reason"; exit 77; }
shared=$(mktemp -d)
trap 'rm -rf "$shared"' EXIT
cache=${VCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dsm-vcluster}

# What a run starts has the mark in its environment, all the way down.
mark=VCLUSTER_TEST=$$-$RANDOM
marked() { grep -lzxF "$mark" /proc/[0-9]*/environ 2>/dev/null | grep -v "/$$/" || true; }

# A process group of its own, as a shell with job control gives it; the terminal would signal all of it.
set -m
env "$mark" "$vcluster" -n 2 --backend "$backend" --share "$shared" -- bash -c "touch '$shared/runs'; sleep 600" </dev/null &
pid=$!
set +m
for ((i = 0; i < 1200; ++i)); do
  [[ ! -e $shared/runs ]] || break
  kill -0 $pid 2>/dev/null || break
  sleep 0.1
done
[[ -e $shared/runs ]] || { echo "interrupt.sh: the command did not start"; kill -KILL -- -$pid; exit 1; }
[[ -n $(marked) ]] || { echo "interrupt.sh: the mark is not seen, so nothing would be found"; exit 1; }

if [[ $signal == INT ]]; then kill -INT -- -$pid; else kill "-$signal" $pid; fi
wait $pid
status=$?
[[ $status -eq $expected ]] || { echo "interrupt.sh: it ended with status $status, not $expected"; exit 1; }
# Killed, it cannot wait for its last processes; they follow at once.
for ((i = 0; i < 50; ++i)); do
  [[ -n $(marked) ]] || break
  [[ $signal == KILL ]] || { echo "interrupt.sh: still there when it had ended: $(marked)"; exit 1; }
  sleep 0.1
done
[[ -z $(marked) ]] || { echo "interrupt.sh: left behind: $(marked)"; exit 1; }
[[ -z $(ls -A "$cache/run") ]] || { echo "interrupt.sh: left in $cache/run: $(ls -A "$cache/run")"; exit 1; }
! grep -q " $cache/run " /proc/self/mounts || { echo "interrupt.sh: left mounted: $cache/run"; exit 1; }
echo "nothing is left"
