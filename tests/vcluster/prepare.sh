#!/usr/bin/env bash
# What `tools/vcluster --prepare` says and keeps when it cannot go on: prepare.sh VCLUSTER CASE
#   no_space     no room for the packages, for the virtual kernel, and none left while that is built
#   interrupted  by INT, TERM and HUP while the virtual kernel is built; the next run goes on from there
# It prepares a directory of its own, on a file system of its own, with no network and no compiler of the kernel's: apt and make
# are of this script, and what comes before the step in question is there already. Where there are no namespaces, or no x86-64,
# which vcluster would refuse first, it is not run (77).
set -uo pipefail

vcluster=$1 name=$2
parts=$(dirname "$(readlink -f "$vcluster")")/vcluster.d
if [[ $(uname -m) != x86_64 ]]; then
  echo "not run: uml nodes are for x86-64"
  exit 77
fi
if [[ -z ${room:-} ]]; then
  room=$(mktemp -d)
  trap 'rmdir "$room"' EXIT
  export room
  for user in '' '--user --map-root-user'; do
    # shellcheck disable=SC2086  # none or two words
    unshare $user --mount mount -t tmpfs prepare "$room" 2>/dev/null || continue
    # shellcheck disable=SC2086
    unshare $user --mount "$0" "$@"
    exit
  done
  echo "not run: no namespaces here"
  exit 77
fi

mount -t tmpfs -o size=120m prepare "$room" || exit 1
export VCLUSTER_CACHE=$room/cache
build=$VCLUSTER_CACHE/build-6.1.0-$(cat "$parts"/uml.{config,patch} | sha256sum | cut -c1-8)
kernel=${build/build-/linux-}

broken() {
  printf 'prepare.sh: %s\n' "$*"
  exit 1
}
# expect STATUS TEXT: how --prepare ends, and what is in its last line.
expect() {
  local said status=0
  said=$(PATH="$room/bin:$PATH" "$vcluster" --prepare 2>&1 </dev/null) || status=$?
  printf '%s\n' "$said"
  [[ $status -eq $1 ]] || broken "it ended with status $status, not $1"
  [[ $(tail -n 1 <<<"$said") == *"$2"* ]] || broken "its last line is not '$2'"
}
# The next run ends what was begun. What it then starts is no kernel: it is ended there.
goes_on() {
  local pid i
  : >"$room/said"
  PATH="$room/bin:$PATH" "$vcluster" --prepare 2>"$room/said" </dev/null &
  pid=$!
  for ((i = 0; i < 300; ++i)); do
    if grep -q 'the virtual kernel is ready' "$room/said"; then break; fi
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
  done
  kill -TERM $pid 2>/dev/null
  wait $pid
  cat "$room/said"
  [[ -x $kernel && ! -e $build ]] || broken "the kernel was not built"
}
# command_of NAME: a program of that name, which is what comes on standard input.
command_of() {
  { echo '#!/usr/bin/env bash'; cat; } >"$room/bin/$1"
  chmod +x "$room/bin/$1"
}
have_programs() {
  local key
  key=$(cat "$parts"/{switch,remote}.cpp | sha256sum | cut -c1-8)
  mkdir -p "$VCLUSTER_CACHE/programs/$key"
  cp /bin/true "$VCLUSTER_CACHE/programs/$key/remote"
}
have_packages() {
  mkdir -p "$VCLUSTER_CACHE/packages"
  # shellcheck disable=SC1090,SC2154  # a line of another script
  (source <(grep '^readonly node_packages=' "$parts/prepare.sh") && printf '%s\n' "${node_packages[*]}") >"$VCLUSTER_CACHE/packages/.holds"
}
have_source() {
  mkdir -p "$build/source" "$build/tools"
  touch "$build/configured"
}

mkdir "$room/bin"
command_of apt-cache <<<'echo "Version: 6.1.0"'
command_of apt-get <<<'exit 100'

no_space() {
  have_programs
  expect 125 "no disk space for the nodes' packages: $VCLUSTER_CACHE has"
  have_packages
  expect 125 "no disk space for building the virtual kernel: $VCLUSTER_CACHE has"
  [[ ! -e $build ]] || broken "it began nevertheless"
  have_source
  command_of make <<<"head -c 1G /dev/zero >'$build/source/object' || { rm -f '$build/source/nothing'; exit 2; }"
  expect 125 "no disk space for the virtual kernel: $build is full; make room, and run it again"
  # Then there is room.
  rm "$build/source/object"
  command_of make <<<"cp /bin/true '$build/source/linux'"
  goes_on
}

interrupted() {
  local signal status pid i
  have_programs
  have_packages
  have_source
  command_of make <<<"sleep 600 & echo \$! >'$room/builds'; wait"
  for signal in INT=130 TERM=143 HUP=129; do
    rm -f "$room/builds"
    # A process group of its own, as a shell with job control gives it: SIGINT is not ignored there. Nor is any
    # other, though these tests may have been started by nohup.
    set -m
    PATH="$room/bin:$PATH" env --default-signal=INT,TERM,HUP "$vcluster" --prepare 2>"$room/said" </dev/null &
    pid=$!
    set +m
    for ((i = 0; i < 300; ++i)); do
      if [[ -s $room/builds ]]; then break; fi
      sleep 0.1
    done
    [[ -s $room/builds ]] || broken "nothing was built: $(cat "$room/said")"
    kill "-${signal%=*}" $pid
    status=0
    wait $pid || status=$?
    cat "$room/said"
    [[ $status -eq ${signal#*=} ]] || broken "SIG${signal%=*}: it ended with status $status"
    grep -qx 'vcluster: interrupted; what is done is kept, and the next run goes on from there' "$room/said" || broken "it does not say so"
    flock -n "$VCLUSTER_CACHE/lock" true || broken "SIG${signal%=*}: something of it still runs"
    # What the build started was told, and is not waited for.
    for ((i = 0; i < 50; ++i)); do
      kill -0 "$(cat "$room/builds")" 2>/dev/null || break
      sleep 0.1
    done
    ((i < 50)) || broken "SIG${signal%=*}: the build still runs"
    [[ -d $build/source ]] || broken "SIG${signal%=*}: what was done is gone"
  done
  command_of make <<<"cp /bin/true '$build/source/linux'"
  goes_on
}

case $name in
  no_space | interrupted) "$name" ;;
  *) broken "no case $name" ;;
esac
echo "PASS $name"
