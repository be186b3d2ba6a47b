# The backend uml: User-Mode Linux. The kernel is a program, built from Debian's linux-source-6.1 as it is but for uml.patch.
# shellcheck shell=bash disable=SC2154  # variables of other parts

readonly uml_source=linux-source-6.1
readonly uml_build_mib=2600
readonly uml_objects=930  # that the compiler makes, about: for the progress
readonly uml_tools=(make bc flex bison patch xz-utils)

uml_key() { printf '%s-%s' "$1" "$(cat "$parts"/uml.{config,patch} | sha256sum | cut -c1-8)"; }

# The kernel of this configuration: the newest that is there; for --prepare, that of the source which apt offers, if it knows one.
is_prepared_uml() {
  [[ $(uname -m) == x86_64 ]] || unavailable "uml nodes are for x86-64, and this is $(uname -m)"
  local version='' kernels
  [[ $verb != prepare ]] || version=$(version_of $uml_source)
  # shellcheck disable=SC2207  # a pattern, without blanks (check_paths)
  kernels=("$cache"/linux-$(uml_key "${version:-*}"))
  kernel=${kernels[-1]}
  [[ -x $kernel ]]
}

prepare_uml() {
  need_commands gcc=gcc ld=binutils tar=tar perl=perl-base
  know $uml_source
  local key build
  key=$(uml_key "$(version_of $uml_source)")
  build=$cache/build-$key
  kernel=$cache/linux-$key
  [[ ! -x $kernel ]] || return 0
  [[ -d $build/source ]] || need_space "$cache" $uml_build_mib "building the virtual kernel"
  mkdir -p "$build"
  uml_get_tools "$build"
  uml_get_source "$build"
  uml_configure "$build"
  uml_compile "$build"
  strip -o "$kernel.new" "$build/source/linux"
  mv "$kernel.new" "$kernel"
  rm -rf "$build"
  say "the virtual kernel is ready: $kernel"
}

# What of the tools is not installed here is unpacked beside the source.
uml_get_tools() {
  local tools=$1/tools names
  if [[ ! -d $tools ]]; then
    mapfile -t names < <(lacking "${uml_tools[@]}")
    mkdir -p "$tools.new"
    [[ ${#names[@]} -eq 0 ]] || unpack "$tools.new" "${names[@]}"
    mv "$tools.new" "$tools"
  fi
  uml_environment=(env "PATH=$tools/usr/bin:$PATH" "LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu"
    "BISON_PKGDATADIR=$tools/usr/share/bison" KBUILD_BUILD_TIMESTAMP=0 KBUILD_BUILD_USER=vcluster KBUILD_BUILD_HOST=vcluster)
  [[ ! -x $tools/usr/bin/m4 ]] || uml_environment+=("M4=$tools/usr/bin/m4")
}

uml_get_source() {
  local build=$1
  [[ ! -d $build/source ]] || return 0
  say "fetching the source of the virtual kernel ($uml_source $(version_of $uml_source))"
  rm -rf "$build/unpacked" "$build/new"
  unpack "$build/unpacked" $uml_source
  mkdir "$build/new"
  quietly "$build/log" "${uml_environment[@]}" tar -xf "$build/unpacked/usr/src/$uml_source.tar.xz" -C "$build/new" --strip-components=1 ||
    uml_failed "$build" "the source cannot be unpacked"
  rm -rf "$build/unpacked"
  quietly "$build/log" "${uml_environment[@]}" patch -d "$build/new" -p1 -i "$parts/uml.patch" ||
    uml_failed "$build" "uml.patch does not fit $uml_source"
  mv "$build/new" "$build/source"
}

uml_configure() {
  local build=$1 wanted
  [[ ! -f $build/configured ]] || return 0
  uml_make "$build" "KCONFIG_ALLCONFIG=$parts/uml.config" allnoconfig || uml_failed "$build" "its configuration failed"
  while read -r wanted; do
    grep -qxF "$wanted" "$build/source/.config" || uml_failed "$build" "its configuration dropped $wanted"
  done < <(grep '^CONFIG_' "$parts/uml.config")
  touch "$build/configured"
}

uml_make() {
  local build=$1
  shift
  quietly "$build/log" "${uml_environment[@]}" make -C "$build/source" ARCH=um "$@"
}

# Says how far it is: on a terminal in one line, else now and then.
uml_compile() {
  local build=$1 job
  say "building the virtual kernel, once: 4 to 8 minutes on two processors"
  in_background "$build/log" "${uml_environment[@]}" make -C "$build/source" ARCH=um -j"$(nproc)" linux
  # A process group of its own, so that its pause ends with it: that would hold the lock.
  set -m
  uml_progress "$build/source" &
  local progress=$!
  set +m
  local status=0
  wait "$job" || status=$?
  kill -- -"$progress" 2>/dev/null || true
  wait "$progress" 2>/dev/null || true
  ((status == 0)) || uml_failed "$build" "the build failed"
  [[ ! -t 2 ]] || printf '\r\e[K' >&2
}

uml_progress() {
  local pause=30 percent
  [[ ! -t 2 ]] || pause=2
  while sleep $pause; do
    percent=$(find "$1" -name '*.o' | wc -l)
    percent=$((percent * 100 / uml_objects))
    ((percent <= 99)) || percent=99
    if [[ -t 2 ]]; then printf '\rvcluster: building the virtual kernel: %d %%' $percent >&2; else say "building the virtual kernel: $percent %"; fi
  done
}

uml_failed() {
  if is_full "$1"; then fail "$exit_own" "no disk space for the virtual kernel: $1 is full; make room, and run it again"; fi
  fail "$exit_own" "no virtual kernel: $2: $(grep -m 1 -iE 'error|fail' "$1/log" | cut -c1-200 || true) (all of it: $1/log)"
}

# The one processor of this machine that node $1 has. Its kernel and its programs are processes that hand over to each other at
# every system call and trap: 5 us on one processor, and 60 between two that fell asleep meanwhile. The run chooses node0's.
uml_processor() {
  local ranges range all=()
  IFS=, read -ra ranges <<<"$(taskset --cpu-list --pid $$ | sed 's/.*: //')"
  for range in "${ranges[@]}"; do
    mapfile -t -O ${#all[@]} all < <(seq "${range%-*}" "${range#*-}")
  done
  printf '%d' "${all[(first_processor + $1) % ${#all[@]}]}"
}

# Becomes node $1. Its port of the network is descriptor 3. An MTU above 1500 can be given only here, not by `ip link`.
boot_uml() {
  # A kernel panic would leave a core file of the whole machine. Its memory is a file in TMPDIR.
  ulimit -c 0
  export TMPDIR=$run
  exec taskset --cpu-list "$(uml_processor "$1")" "$kernel" umid="node$1" uml_dir="$run/uml" mem="${memory_mb}M" root=/dev/root rootfstype=hostfs rootflags=/ ro \
    init="$parts/uml.init" vc_run="$run" vc_node="$1" vc_packages="$packages" \
    vec0:transport=fd,fd=3,mtu="$(mtu_of "$1")",depth=128,mac="$(mac_of "$1")" \
    con0=null,fd:1 con=null ssl=null quiet panic=-1 random.trust_cpu=on
}
