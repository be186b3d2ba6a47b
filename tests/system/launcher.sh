#!/usr/bin/env bash
# A launcher for tests of dsmrun, as ssh is one: launcher.sh KIND HOST COMMAND... runs COMMAND in a shell of its own, in another
# directory and without the caller's variables. KIND: run; talk (a banner first); fail-b, missing-b, hang-b, noise-b (host b does
# not answer, has no such program, says nothing, says nonsense; other hosts run).
set -u

kind=$1 host=$2
shift 2
if [[ $kind == *-b && $host == b ]]; then
  case $kind in
    fail-b) exit 255 ;;
    missing-b) exit 127 ;;
    hang-b) exec sleep 600 ;;
    noise-b) exec head -c 200000 /dev/zero ;;
  esac
fi
[[ $kind != talk ]] || echo "Welcome to $host"
cd /
exec env -i PATH="$PATH" HOST_OF_TEST="$host" sh -c "$*"
