# The command line: parse_options "$@" sets the variables below, or ends with one line.
# shellcheck shell=bash disable=SC2034,SC2154

verb=run        # run, prepare, ready
backend=uml
nodes=2
loss_ppm=0      # frames of a million
delay_us=0
seed=1
mtus=(9000)     # by node; the last serves for the rest
each=no
memory_mb=1024
processors=1
timeout_s=0     # none
console=no
shared=''       # a directory of the host that the nodes may write
command=()

readonly mtu_min=576 mtu_max=9000
readonly delay_max_us=1000000

help() {
  cat <<'TEXT'
usage: tools/vcluster -n NODES [OPTIONS] -- COMMAND [ARGUMENTS...]

Boots NODES virtual machines, each with a kernel of its own and a verbs device (soft-RoCE), on one private virtual
network, and runs COMMAND on the first, node0. No RDMA hardware, no kernel module, no installation, no root.

  tools/vcluster -n 2 -- rdma link                                        # the device of node0
  tools/vcluster -n 4 -- build/tools/dsmrun -n 4 --transport tcp build/apps/himeno/himeno XS
  tools/vcluster -n 2 --each -- ip -brief address                         # on every node: "[node1] ..."
  tools/vcluster -n 2 --loss 5 --seed 7 -- build/tools/dsmrun -n 2 ...    # the same 5 % of frames, each time
  tools/vcluster -n 2 --mtu 4200,1500 -- ibv_devinfo                      # node0 has another MTU than node1

The nodes see this machine's files under the same paths, in the same directory and environment; what they write is
their own and is gone afterwards (but see --share). dsmrun on node0 finds the other nodes by itself (DSM_HOSTFILE and
DSM_LAUNCHER are set). COMMAND finds VCLUSTER_NODE, VCLUSTER_NODES, VCLUSTER_ADDRESS, VCLUSTER_DEVICE (rxe0) and
VCLUSTER_GID (1: RoCE v2, IPv4), is root, and reads nothing on standard input.

  -n, --nodes N       1 to 8 nodes (2 when not given): node0, node1, ... at 10.77.0.1, 10.77.0.2, ...
  --backend NAME      uml: User-Mode Linux, native speed, one processor a node (when not given)
                      qemu: an emulated PC: slow, but several processors, userfaultfd and sanitizers
  --loss PERCENT      of the frames between two nodes that the network loses: 0 to 100, as in 0.5
  --seed S            which ones: equal seeds, equal frames (1 when not given)
  --delay US          microseconds that each frame takes, 0 to 1000000
  --mtu M[,M...]      576 to 9000 bytes, of every node, or by node (9000 when not given)
  --each              COMMAND runs on every node at once; lines begin with the node's name
  --share DIR         a directory of this machine that the nodes may write
  --memory MIB        of each node, 256 to 65536 (1024 when not given)
  --processors N      of each node, 1 to 16 (qemu only)
  --timeout S         ends the run after so many seconds; exit code 124
  --console           prints what the nodes' kernels said, at the end

  tools/vcluster --prepare [--backend NAME]   gets what it needs, and no more: 4 to 10 minutes, once
  tools/vcluster --ready [--backend NAME]     says whether that was done

Exits as COMMAND does (with --each: the greatest exit code). Its own codes: 2 for a wrong command line, 124 for the
timeout, 125 when a node fails; --prepare and --ready: 77 when this machine cannot run virtual nodes, or not yet.
Nothing outlives it. What it needs comes from Debian's packages and is kept in ~/.cache/dsm-vcluster (VCLUSTER_CACHE);
removing that directory removes everything. More: docs/vcluster.md
TEXT
}

# whole OPTION VALUE LEAST MOST
whole() {
  if [[ ! $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then usage_error "$1 $2: give a whole number from $3 to $4"; fi
  value=$((10#$2))
}

parse_loss() {
  [[ $1 =~ ^([0-9]{1,3})(\.([0-9]{1,4}))?$ ]] || usage_error "--loss $1: give a percentage from 0 to 100, as in 5 or 0.5"
  local fraction=${BASH_REMATCH[3]}0000
  loss_ppm=$((10#${BASH_REMATCH[1]} * 10000 + 10#${fraction:0:4}))
  ((loss_ppm <= 1000000)) || usage_error "--loss $1: give a percentage from 0 to 100, as in 5 or 0.5"
}

parse_mtus() {
  local each_mtu
  [[ $1 =~ ^[0-9,]+$ && $1 != *,, && $1 != ,* && $1 != *, ]] ||
    usage_error "--mtu $1: give bytes from $mtu_min to $mtu_max, for all nodes or separated by commas"
  mtus=()
  for each_mtu in ${1//,/ }; do
    whole --mtu "$each_mtu" $mtu_min $mtu_max
    mtus+=("$value")
  done
}

parse_share() {
  [[ -d $1 && -w $1 ]] || usage_error "--share $1: no directory that you may write"
  shared=$(readlink -f "$1")
}

parse_options() {
  local option
  while [[ $# -gt 0 ]]; do
    case $1 in
      --*=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"
        continue
        ;;
      -n[0-9]*)
        set -- -n "${1#-n}" "${@:2}"
        continue
        ;;
    esac
    option=$1
    case $option in
      -h | --help)
        help
        exit 0
        ;;
      --each) each=yes ;;
      --console) console=yes ;;
      --prepare) verb=prepare ;;
      --ready) verb=ready ;;
      -n | --nodes | --backend | --loss | --seed | --delay | --mtu | --share | --memory | --processors | --timeout)
        [[ $# -ge 2 ]] || usage_error "$option needs a value"
        take_value "$option" "$2"
        shift
        ;;
      --)
        shift
        break
        ;;
      -*) usage_error "$option is no option of vcluster" ;;
      *) break ;;
    esac
    shift
  done
  command=("$@")
  judge_options
}

take_value() {
  local value
  case $1 in
    -n | --nodes) whole "$1" "$2" 1 "$nodes_max" && nodes=$value ;;
    --loss) parse_loss "$2" ;;
    --seed) whole "$1" "$2" 0 999999999 && seed=$value ;;
    --delay) whole "$1" "$2" 0 $delay_max_us && delay_us=$value ;;
    --mtu) parse_mtus "$2" ;;
    --share) parse_share "$2" ;;
    --memory) whole "$1" "$2" 256 65536 && memory_mb=$value ;;
    --processors) whole "$1" "$2" 1 16 && processors=$value ;;
    --timeout) whole "$1" "$2" 1 86400 && timeout_s=$value ;;
    --backend)
      [[ -f $parts/$2.backend.sh ]] || usage_error "--backend $2: choose $(backend_names)"
      backend=$2
      ;;
  esac
}

backend_names() {
  local names=("$parts"/*.backend.sh)
  names=("${names[@]##*/}")
  names=("${names[@]%.backend.sh}")
  printf '%s' "${names[0]}"
  [[ ${#names[@]} -eq 1 ]] || printf ' or %s' "${names[@]:1}"
}

judge_options() {
  if [[ $verb != run ]]; then
    [[ ${#command[@]} -eq 0 ]] || usage_error "--$verb takes no command"
    return 0
  fi
  [[ ${#command[@]} -gt 0 ]] || usage_error "there is no command to run: tools/vcluster -n 2 -- COMMAND"
  ((${#mtus[@]} <= nodes)) || usage_error "--mtu names ${#mtus[@]} nodes, and there are $nodes"
  [[ $processors -eq 1 || $backend != uml ]] || usage_error "--processors $processors: uml nodes have one; take --backend qemu"
}
