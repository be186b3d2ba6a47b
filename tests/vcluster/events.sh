#!/usr/bin/env bash
# What happens to a wire in the middle of a job, inside virtual nodes: events.sh SCENARIO DSMRUN STEADY WIRE
# The job is `steady` (steady.cpp) on two ranks; SCENARIO happens when it says that it is going.
set -euo pipefail

scenario=$1 dsmrun=$2 steady=$3 wire=$4

# A device of this node alone, which can go down without the node.
own_device() {
  ip link add wire0 type dummy
  ip address add 10.78.0.1/24 dev wire0
  ip link set wire0 up
  rdma link add rxe1 type rxe netdev wire0
  export DSM_VERBS=device=rxe1 DSM_HOSTFILE='' DSM_LAUNCHER=''
  unset DSM_HOSTFILE DSM_LAUNCHER
  sleep 0.3
}

# Second addresses, so that the ones over which ranks are started stay.
second_addresses() {
  ip address add 10.78.0.1/24 dev vec0
  $DSM_LAUNCHER node1 ip address add 10.78.0.2/24 dev vec0 >/dev/null
  sleep 0.3
  export DSM_VERBS=gid=2
}

# job WORK SECONDS: runs it, and `happens` beside it.
job() {
  local status=0
  "$dsmrun" -n 2 --transport "$wire" "$steady" "$@" 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$line"
    if [[ $line == going ]]; then happens & fi
  done || status=${PIPESTATUS[0]}
  wait
  return "$status"
}

down_and_up() {
  sleep 1
  ip link set wire0 down
  sleep 1
  ip link set wire0 up
}

case $scenario in
  port_down_and_up)
    own_device
    happens() { down_and_up; }
    job pages 6
    ;;
  port_down)
    own_device
    happens() { ip link set wire0 down; }
    job pages 60
    ;;
  address_changes)
    second_addresses
    happens() {
      sleep 1
      ip address add 10.78.0.11/24 dev vec0
      ip address delete 10.78.0.1/24 dev vec0
    }
    job pages 8
    ;;
  removal)
    own_device
    happens() { sleep 1; rdma link delete rxe1; echo removed; }
    job pages 5
    ;;
esac
