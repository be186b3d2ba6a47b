# Gets what virtual nodes need, once, into $cache: packages of Debian, unpacked and not installed, the two programs of this
# folder, and what the backend adds. Whatever is interrupted is taken up by the next run where it stopped: each piece gets its
# final name when it is whole.
# shellcheck shell=bash disable=SC2154  # variables of other parts

# Programs that every node finds, with the libraries that they need.
readonly node_packages=(busybox-static iproute2 libibverbs1 ibverbs-providers librdmacm1 ibverbs-utils rdmacm-utils perftest)
readonly trial_limit_s=180
readonly network_mib=300  # what the packages take, unpacked

# prepare: everything for $backend. Another vcluster that does the same is waited for.
prepare() {
  check_paths
  check_namespaces
  mkdir -p "$cache" "$run" 2>/dev/null || fail "$exit_own" "cannot make $cache: set VCLUSTER_CACHE to a directory that you may write"
  if is_prepared; then return; fi
  if [[ $verb == ready ]]; then
    unavailable "the virtual nodes are not prepared: run tools/vcluster --prepare --backend $backend (once; minutes)"
  fi
  lock
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM
  trap 'interrupted 129' HUP
  is_present programs || prepare_programs
  is_present packages || prepare_packages
  "prepare_$backend"
  trap - INT TERM HUP
  exec {lock_fd}>&-
}

is_prepared() { is_present programs && is_present packages && "is_prepared_$backend"; }

# --prepare ends with a node that starts, so that --ready tells what is so: a machine may forbid what virtual nodes do.
booted_once() { printf '%s.boots' "$kernel"; }

try_out() {
  local said
  rm -f "$(booted_once)"
  said=$("$0" -n 1 --backend "$backend" --timeout $trial_limit_s -- true 2>&1) ||
    unavailable "a virtual node ($backend) does not start on this machine: $(tail -n 1 <<<"$said")"
  : >"$(booted_once)"
}

was_tried_out() {
  [[ -e $(booted_once) ]] ||
    unavailable "no virtual node ($backend) has started here: run tools/vcluster --prepare --backend $backend"
}

is_present() {
  case $1 in
    programs) [[ -x $programs/$(programs_key)/remote ]] ;;
    packages) [[ $(cat "$packages/.holds" 2>/dev/null) == "${node_packages[*]}" ]] ;;
  esac
}

# The nodes' kernels get these paths as words.
check_paths() {
  case $cache$parts in
    *[[:space:],:\"\'\\]*) fail "$exit_own" "$cache or $parts has blanks or commas in it: set VCLUSTER_CACHE, or move the tree" ;;
  esac
}

# Sets `isolate`: the command that gives a process, and all that it starts, process numbers and mounts of their own, so that
# nothing outlives it.
check_namespaces() {
  local user
  for user in '' '--user --map-root-user'; do
    # shellcheck disable=SC2206  # none or two words
    isolate=(unshare $user --mount --pid --fork --kill-child)
    if "${isolate[@]}" mount -t tmpfs vcluster /tmp 2>/dev/null; then return; fi
  done
  unavailable "no namespaces here, in which virtual nodes run: be root, or allow them (sysctl kernel.unprivileged_userns_clone=1)"
}

lock() {
  exec {lock_fd}>"$cache/lock"
  if flock -n "$lock_fd"; then return; fi
  say "waiting for another vcluster that prepares virtual nodes"
  flock "$lock_fd"
}

# A job in the background is waited for by `wait`, which signals interrupt, unlike a command in the foreground.
interrupted() {
  trap '' INT TERM HUP
  local job
  for job in $(jobs -p); do kill -TERM -- "-$job" 2>/dev/null || kill -TERM "$job" 2>/dev/null || true; done
  wait
  fail "$1" "interrupted; what is done is kept, and the next run goes on from there"
}

# in_background LOG COMMAND...: in a process group of its own; sets `job`.
in_background() {
  local log=$1
  shift
  set -m
  "$@" >>"$log" 2>&1 </dev/null &
  job=$!
  set +m
}

# quietly LOG COMMAND...
quietly() {
  local job
  in_background "$@"
  wait "$job"
}

# need_space DIRECTORY MIB WHAT
need_space() {
  local free
  free=$(($(df --output=avail -k "$1" | tail -n 1) / 1024))
  ((free >= $2)) || fail "$exit_own" "no disk space for $3: $1 has $free MiB free and $2 are needed; make room, or set VCLUSTER_CACHE"
}

is_full() { (($(df --output=avail -k "$1" | tail -n 1) < 51200)); }

# need_commands COMMAND=PACKAGE...
need_commands() {
  local entry lacking=()
  for entry in "$@"; do
    command -v "${entry%%=*}" >/dev/null || lacking+=("${entry#*=}")
  done
  [[ ${#lacking[@]} -eq 0 ]] || unavailable "packages are missing: apt-get install ${lacking[*]}"
}

# --- the programs of this folder ------------------------------------------------------------------------------------------

programs_key() { cat "$parts"/{switch,remote}.cpp | sha256sum | cut -c1-8; }

prepare_programs() {
  need_commands c++=g++
  local key made program
  key=$(programs_key)
  made=$programs/$key.new
  rm -rf "$made"
  mkdir -p "$made"
  for program in switch remote; do
    quietly "$made/log" c++ -std=c++20 -O2 -I "$parts/../../src" -o "$made/$program" "$parts/$program.cpp" ||
      fail "$exit_own" "cannot compile $parts/$program.cpp: see $made/log"
  done
  mv "$made" "$programs/$key"
}

# --- packages -------------------------------------------------------------------------------------------------------------

apt_options=(-q -o APT::Sandbox::User=root -o Debug::NoLocking=1)

# know PACKAGE: so that apt knows the package; without lists of its own this machine's are left alone, and vcluster's are filled.
know() {
  command -v apt-get >/dev/null || unavailable "there is no apt-get: virtual nodes are made of Debian's packages"
  knows "$1" && return
  mkdir -p "$cache"/apt/{lists,cache}/partial
  apt_options+=(-o "Dir::State::Lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt/cache")
  knows "$1" && return
  say "fetching the lists of packages"
  quietly "$cache/apt/log" apt-get "${apt_options[@]}" update || true
  knows "$1" || unavailable "apt knows no package $1: no network, or not Debian 12 (see $cache/apt/log)"
}

knows() { [[ -n $(version_of "$1") ]]; }

version_of() { apt-cache "${apt_options[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1; }

# lacking PACKAGE...: those of them, and of what they depend on, that are not installed here.
lacking() {
  apt-get "${apt_options[@]}" install -s --no-install-recommends "$@" 2>/dev/null | awk '/^Inst/ { print $2 }' |
    grep -vxE 'systemd.*|libsystemd.*|udev|dmsetup|dbus.*' || true
}

# unpack DIRECTORY PACKAGE...: as if they were installed there, with /bin, /sbin and /lib inside of /usr.
unpack() {
  local to=$1 debs directory
  shift
  debs=$cache/debs
  mkdir -p "$debs" "$to"
  (cd "$debs" && quietly "$debs/log" apt-get "${apt_options[@]}" download "$@") ||
    unavailable "apt-get could not download $*: $(grep -m 1 '^[EW]:' "$debs/log" | tail -n 1 || true) (no network?)"
  local deb
  for deb in "$debs"/*.deb; do
    quietly "$debs/log" dpkg -x "$deb" "$to" || fail "$exit_own" "cannot unpack ${deb##*/} into $to: disk full? see $debs/log"
  done
  rm -rf "$debs"
  for directory in bin sbin lib lib64; do
    [[ -d $to/$directory && ! -L $to/$directory ]] || continue
    mkdir -p "$to/usr/$directory"
    cp -a "$to/$directory/." "$to/usr/$directory/"
    rm -rf "${to:?}/$directory"
  done
}

prepare_packages() {
  need_space "$cache" $network_mib "the nodes' packages"
  know libibverbs1
  say "fetching packages for the nodes"
  rm -rf "$packages" "$packages.new" "$cache/debs"
  local names
  mapfile -t names < <({ lacking "${node_packages[@]}"; printf '%s\n' "${node_packages[@]}"; } | sort -u)
  unpack "$packages.new" "${names[@]}"
  printf '%s\n' "${node_packages[*]}" >"$packages.new/.holds"
  mv "$packages.new" "$packages"
}
