# What all parts of vcluster use. Sourced by bash with `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034  # used by other parts

# Exit codes of vcluster itself; otherwise it exits as COMMAND does.
readonly exit_usage=2 exit_unavailable=77 exit_timeout=124 exit_own=125

readonly nodes_max=8
remote_port=7077  # where each node's `remote serve` listens, on the virtual network
network=10.77.0   # node K is $network.(K+1)

cache=${VCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dsm-vcluster}
run=$cache/run             # where each run mounts a file system of its own, which nobody else sees
packages=$cache/packages   # what was unpacked for the nodes: the upper layer of their root
programs=$cache/programs   # switch and remote

say() { printf 'vcluster: %s\n' "$*" >&2; }

# fail CODE LINE...: one line for the user, then the end.
fail() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

usage_error() { fail $exit_usage "$* (vcluster --help)"; }

# Something that virtual nodes need cannot be had on this machine. --prepare and --ready tell it from a failure.
unavailable() {
  case ${verb:-run} in
    prepare | ready) fail $exit_unavailable "$*" ;;
    *) fail $exit_own "$*" ;;
  esac
}
