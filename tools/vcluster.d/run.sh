# Runs the command on virtual nodes. Two processes: the outer one stays with the user and ends the inner one, whatever happens;
# the inner one is PID 1 of namespaces of its own, in which everything else runs: the switch, which starts the nodes, and those
# who read what the nodes write. When it ends, or is killed, so do they, and the run's directory, mounted there, is gone.
# shellcheck shell=bash disable=SC2154  # variables of other parts

readonly boot_limit_s=180  # 8 nodes take 5 s on an idle machine
readonly console_lines=15

mtu_of() { printf '%s' "${mtus[$1]:-${mtus[-1]}}"; }
mac_of() { printf '52:54:00:77:00:%02x' $(($1 + 1)); }

# --- outer ----------------------------------------------------------------------------------------------------------------

run_cluster() {
  local settings status=0
  settings=$(declare -p backend nodes loss_ppm delay_us seed mtus each memory_mb processors timeout_s console shared kernel)
  # Dies with this process, even when that is killed. What `unshare` says of a killed child is of no use to anybody.
  setpriv --pdeathsig KILL "${isolate[@]}" "$BASH" "$0" --inside "$settings" "${command[@]}" </dev/null 3>&2 2>/dev/null &
  outside=$!
  trap 'stop_inside; exit 130' INT
  trap 'stop_inside; exit 143' TERM
  trap 'stop_inside; exit 129' HUP
  trap 'stop_inside; exit 131' QUIT
  wait "$outside" || status=$?
  exit "$status"
}

# The namespaces' PID 1 first: `unshare` waits until everything in there has ended.
stop_inside() {
  trap '' INT TERM HUP QUIT
  local inside
  inside=$(cat "/proc/$outside/task/$outside/children" 2>/dev/null) || true
  # shellcheck disable=SC2086  # none or one
  kill -KILL ${inside:-$outside} 2>/dev/null || true
  wait "$outside" 2>/dev/null || true
}

# --- inner ----------------------------------------------------------------------------------------------------------------

inside() {
  exec 2>&3 3>&-
  eval "$1"
  shift
  mount -t tmpfs -o "size=$((nodes * (memory_mb + 64) + 1024))m,mode=755" vcluster "$run" ||
    fail "$exit_own" "no memory for a run's files at $run"
  write_run "$@"
  local until=first
  [[ $each == no ]] || until=all
  "$programs/$(programs_key)/switch" "$nodes" "$loss_ppm" "$delay_us" "$seed" $until -- "$BASH" "$0" --boot &
  switch=$!
  start_nodes
  local reason=''
  follow_run
  report
}

# What the nodes read.
write_run() {
  local i first_processor=$RANDOM
  install -m 755 "$parts/node" "$run/node"
  local remote
  remote=$programs/$(programs_key)/remote
  declare -p backend nodes mtus each memory_mb processors first_processor shared kernel network remote remote_port >"$run/settings"
  declare -f mac_of mtu_of >>"$run/settings"
  printf '%s\0' "$@" >"$run/command"
  env -0 >"$run/environment"
  printf '%s' "$PWD" >"$run/directory"
  cat /proc/cpuinfo >"$run/cpuinfo"
  for ((i = 0; i < nodes; ++i)); do
    printf 'node%d\n' $i >>"$run/hosts"
    touch "$run"/{output,errors,console}."$i"
  done
}

# Starts the command when all nodes are up.
start_nodes() {
  local i deadline=$((SECONDS + boot_limit_s))
  for ((i = 0; i < nodes; ++i)); do
    until [[ -e $run/up.$i ]]; do
      kill -0 "$switch" 2>/dev/null || boot_failed "$i" "the virtual network ended"
      [[ ! -e $run/ended.$i ]] || boot_failed "$i" "it stopped while it started"
      ((SECONDS < deadline)) || boot_failed "$i" "it did not start within $boot_limit_s s"
      sleep 0.05
    done
  done
  : >"$run/start"
}

boot_failed() {
  show_console "$1"
  fail "$exit_own" "node$1 is not up: $2; its last words are above"
}

show_console() { tail -n $console_lines "$run/console.$1" | sed "s/^/[node$1 console] /" >&2; }

# follow FILE NODE DESCRIPTOR: prints what is written to the file until the switch ends.
follow() {
  local read_on=(tail --bytes=+1 --follow --sleep-interval=0.02 "--pid=$switch" "$run/$1.$2")
  if [[ $each == yes ]]; then
    "${read_on[@]}" | sed -u "s/^/[node$2] /" >&"$3"
  else
    exec "${read_on[@]}" >&"$3"
  fi
}

# With --each: until every node has its status, or has gone.
wait_for_all() {
  local i
  for ((i = 0; i < nodes; ++i)); do
    until [[ -e $run/status.$i || -e $run/ended.$i ]]; do sleep 0.05; done
  done
}

# Until node0 switches itself off, as it does behind its command; all commands have ended; the time is over; or nobody reads what
# we print.
follow_run() {
  local i last=0 timer='' all='' ended readers=()
  if [[ $each == yes ]]; then
    last=$((nodes - 1))
    wait_for_all &
    all=$!
  fi
  for ((i = 0; i <= last; ++i)); do
    follow output $i 1 &
    readers+=($!)
    follow errors $i 2 &
    readers+=($!)
  done
  if [[ $timeout_s -gt 0 ]]; then
    sleep "$timeout_s" &
    timer=$!
  fi
  wait -n -p ended "$switch" "${readers[@]}" $timer $all || true
  if [[ $ended == "$timer" ]]; then
    reason=timeout
  elif [[ $ended != "$switch" && $ended != "$all" ]] && kill -0 "$switch" 2>/dev/null; then
    reason=unheard
  fi
  kill -TERM "$switch" 2>/dev/null || true
  wait "$switch" "${readers[@]}" 2>/dev/null || true
}

report() {
  local i status worst=0 last=0
  [[ $each == no ]] || last=$((nodes - 1))
  for ((i = 0; i < nodes; ++i)); do
    [[ $console == no ]] || sed "s/^/[node$i console] /" "$run/console.$i" >&2
  done
  case $reason in
    timeout) fail "$exit_timeout" "the run was ended after $timeout_s s (--timeout)" ;;
    unheard) exit 141 ;;  # as a program whose reader has gone
  esac
  for ((i = 0; i < nodes; ++i)); do
    if [[ -e $run/status.$i ]]; then
      status=$(cat "$run/status.$i")
      [[ $each == no || $status == 0 ]] || say "node$i: exit code $status"
    elif ((i <= last)) || grep -q 'Kernel panic' "$run/console.$i"; then
      [[ $console == yes ]] || show_console "$i"
      say "node$i stopped before its command had ended; its last words are above"
      status=$exit_own
    else
      status=0
    fi
    ((i <= last && status > worst)) && worst=$status
  done
  exit "$worst"
}

# --- a node ---------------------------------------------------------------------------------------------------------------

# The switch starts this for node $1.
boot() {
  # shellcheck source=/dev/null
  source "$run/settings"
  # Also what this shell says of a kernel that was ended while its programs went.
  exec >"$run/console.$1" 2>&1 </dev/null
  ("boot_$backend" "$1") || true
  : >"$run/ended.$1"
}
