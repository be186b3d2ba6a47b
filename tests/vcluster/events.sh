#!/usr/bin/env bash
# What happens to a wire in the middle of a job, inside virtual nodes: events.sh SCENARIO DSMRUN STEADY WIRE
# The job is `steady` (steady.cpp) on two ranks, or on one of each node; SCENARIO happens when it says that it is going.
set -euo pipefail

scenario=$1 dsmrun=$2 steady=$3 wire=$4

# A device of this node alone, which can go down without the node.
own_device() {
  ip link add wire0 type dummy
  ip address add 10.78.0.1/24 dev wire0
  ip link set wire0 up
  rdma link add rxe1 type rxe netdev wire0
  export DSM_VERBS=device=rxe1
  sleep 0.3
}

# Second addresses, so that the ones over which ranks are started stay.
second_addresses() {
  echo 1 >/proc/sys/net/ipv4/conf/vec0/promote_secondaries  # one of them outlives the others
  ip address add 10.78.0.1/24 dev vec0
  $DSM_LAUNCHER node1 ip address add 10.78.0.2/24 dev vec0 >/dev/null
  sleep 0.3
  export DSM_VERBS=gid=2
}

# job WORK SECONDS: runs it, and `happens` beside it.
job() {
  "$dsmrun" -n $((VCLUSTER_NODES > 2 ? VCLUSTER_NODES : 2)) --transport "$wire" "$steady" "$@" 2>&1 | {
    while IFS= read -r line; do
      printf '%s\n' "$line"
      if [[ $line == going ]]; then happens & fi
    done
    wait
  }
}

# fails WORK: the job ends in time, and not with 0.
fails() {
  local start=$SECONDS status=0
  job "$1" 60 || status=$?
  echo "status $status"
  if ((status != 0 && SECONDS - start < 20)); then echo "ended in time"; fi
}

case $scenario in
  port_down_and_up)
    own_device
    happens() {
      sleep 1
      ip link set wire0 down
      sleep 1
      ip link set wire0 up
    }
    job pages 6
    ;;
  port_down)
    own_device
    happens() { ip link set wire0 down; }
    fails pages
    ;;
  address_changes)
    second_addresses
    happens() {
      sleep 1
      ip address add 10.78.0.11/24 dev vec0
      ip address delete 10.78.0.1/24 dev vec0
    }
    job pages 6
    ;;
  removal)
    own_device
    happens() {
      sleep 1
      rdma link delete rxe1
    }
    job pages 4
    [[ ! -e /sys/class/infiniband/rxe1 ]]
    ;;
  process_dies_*)
    # shellcheck disable=SC2016  # for the other node
    happens() { $DSM_LAUNCHER node1 bash -c 'kill -9 $(busybox pidof steady)'; }
    fails "${scenario#process_dies_}"
    ;;
  # Of a tree with one branch node 1 is the first that passes on.
  tree_sleeps)
    export DSM_VERBS=multicast=tree,fanout=1
    # shellcheck disable=SC2016  # for the other node
    happens() { $DSM_LAUNCHER node1 bash -c 'kill -STOP $(busybox pidof steady); sleep 2; kill -CONT $(busybox pidof steady)'; }
    job recalls 5
    ;;
  tree_dies)
    export DSM_VERBS=multicast=tree,fanout=1
    # shellcheck disable=SC2016
    happens() { $DSM_LAUNCHER node1 bash -c 'kill -9 $(busybox pidof steady)'; }
    fails recalls
    ;;
  pairs_break)
    happens() { :; }
    DSM_VERBS=break=40 job pages 3
    ;;
  two_jobs)
    happens() { :; }
    job pages 4 &
    first=$!
    job messages 4
    wait "$first"
    ;;
  *)
    echo "events.sh: no scenario is called $scenario"
    exit 2
    ;;
esac
