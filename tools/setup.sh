# Shared by ./quickstart, ./check and bench/prepare: installs what is missing and keeps build directories fresh.
# Sourced from the root of the tree, by bash with `set -euo pipefail`.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

# One line for the user, then the end.
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# --- packages -------------------------------------------------------------------------------------------------------------
# group | package of Debian and Ubuntu | how to see that it is there (a pkg-config module, or a command) | why
package_table='
build | g++                 | command c++            | compiles (C++20)
build | meson               | command meson          | configures the build
build | ninja-build         | command ninja          | runs the build
build | pkg-config          | command pkg-config     | finds the libraries below
build | python3             | command python3        | runs Meson and the scripts of the tree
build | libcli11-dev        | module CLI11           | command lines of dsmrun and himeno
build | nlohmann-json3-dev  | module nlohmann_json   | results as JSON
build | libsodium-dev       | module libsodium       | authenticates nodes to each other
build | libhwloc-dev        | module hwloc           | finds the cores that dsmrun gives to nodes
build | libibverbs-dev      | module libibverbs      | the transports over InfiniBand and RoCE
build | ibverbs-providers   | command -              | drivers of verbs devices, loaded when they are there
tests | libgtest-dev        | module gtest           | the tests
tests | gdb                 | command gdb            | tests of dsmrun --gdb
bench | libbenchmark-dev    | module benchmark       | the benchmarks
compare | libopenmpi-dev    | module ompi            | bench/run: MPI and OpenSHMEM, to compare with
compare | openmpi-bin       | command mpirun         | bench/run: starts them
compare | gnuplot-nox       | command gnuplot        | bench/run: draws the figures
'

# Prints the rows of the given groups as package|kind|name|why.
package_rows() {
  local group package probe why wanted kind name
  while IFS='|' read -r group package probe why; do
    read -r group <<<"$group"
    read -r package <<<"$package"
    read -r kind name <<<"$probe"
    read -r why <<<"$why"
    for wanted in "$@"; do
      if [[ -n $group && $group == "$wanted" ]]; then printf '%s|%s|%s|%s\n' "$package" "$kind" "$name" "$why"; fi
    done
  done <<<"$package_table"
}

# Present by what it offers, however it was installed; or by name.
is_present() {
  local package=$1 kind=$2 name=$3
  case $kind in
    command) command -v "$name" >/dev/null 2>&1 && return ;;
    module) pkg-config --exists "$name" >/dev/null 2>&1 && return ;;
  esac
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true) == installed ]]
}

# Fills `missing` (packages) and `missing_why` (lines) for the given groups.
find_missing() {
  local package kind name why
  missing=()
  missing_why=()
  while IFS='|' read -r package kind name why; do
    is_present "$package" "$kind" "$name" && continue
    missing+=("$package")
    missing_why+=("$(printf '  %-20s %s' "$package" "$why")")
  done < <(package_rows "$@")
}

# Ends the script with the packages that are missing and the command that gets them.
fail_missing() {
  {
    say "${0##*/}: $1; these packages are missing:"
    printf '%s\n' "${missing_why[@]}"
    say "get them with:"
    say "  sudo apt-get update && sudo apt-get install ${missing[*]}"
  } >&2
  exit 1
}

# Installs what is missing of the given groups. Sets `installed_now`.
# shellcheck disable=SC2034  # used by setup_build
install_packages() {
  installed_now=no
  find_missing "$@"
  [[ ${#missing[@]} -eq 0 ]] && return
  command -v apt-get >/dev/null || fail_missing "there is no apt-get here"
  local as_root=()
  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || fail_missing "not root, and there is no sudo"
    # Without a terminal nobody could type the password.
    [[ -t 0 ]] || sudo -n true 2>/dev/null || fail_missing "not root, and sudo asks for a password"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  local options=(-y -q --no-install-recommends)
  "${as_root[@]}" apt-get -q update </dev/null || say "(apt-get update failed: going on with the lists that are here)"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install "${missing[@]}" </dev/null ||
    fail_missing "apt-get could not install them (no network, or no rights)"
  find_missing "$@"
  [[ ${#missing[@]} -eq 0 ]] || fail_missing "apt-get said that it installed them, but they cannot be found"
  installed_now=yes
}

# --- build directories ----------------------------------------------------------------------------------------------------

# Prints why the build directory $1 cannot be used with the options that follow (as name=value); nothing when it can.
# "option ..." is mended by configuring again, anything else by starting from nothing.
why_stale() {
  local dir=$1
  shift
  [[ -f $dir/build.ninja && -f $dir/meson-info/meson-info.json ]] || { say "it was never configured to the end"; return; }
  python3 - "$dir" "$PWD" "$(meson --version)" "$@" <<'PYTHON'
import json, os, sys

directory, source, meson, *wanted = sys.argv[1:]
def load(name):
    with open(os.path.join(directory, "meson-info", name)) as file:
        return json.load(file)
try:
    info = load("meson-info.json")
    options = {option["name"]: option["value"] for option in load("intro-buildoptions.json")}
    had_source = info["directories"]["source"]
    had_build = info["directories"]["build"]
    had_meson = info["meson_version"]["full"]
except (OSError, ValueError, KeyError):
    print("its records cannot be read")
    sys.exit()
if os.path.realpath(had_source) != os.path.realpath(source):
    print(f"it was made for another source directory, {had_source}")
elif os.path.realpath(had_build) != os.path.realpath(directory):
    print(f"it was moved here from {had_build}")
elif had_meson != meson:
    print(f"it was made by Meson {had_meson}, and this is {meson}")
else:
    for option in wanted:
        name, value = option.split("=", 1)
        if str(options.get(name)).lower() != value.lower():
            print(f"option {name} is {options.get(name)}, not {value}")
            break
PYTHON
}

# setup_build DIR OPTION=VALUE...: configures DIR, again when it is stale.
setup_build() {
  local dir=$1 why='' option arguments=()
  shift
  for option in "$@"; do arguments+=("-D$option"); done
  [[ ! -e $dir ]] || why=$(why_stale "$dir" "$@")
  if [[ $why == option* ]]; then
    say "$dir/ is stale ($why): configuring it again"
    meson_setup --reconfigure "$dir" "${arguments[@]}"
  elif [[ -n $why ]]; then
    # Only what Meson made is ours to remove.
    [[ -d $dir/meson-private || -z $(ls -A "$dir") ]] || fail "$dir is in the way: it is no build directory; move it"
    say "$dir/ is stale ($why): building it anew"
    rm -rf "$dir"
    meson_setup "$dir" "${arguments[@]}"
  elif [[ ! -e $dir ]]; then
    say "configuring $dir/"
    meson_setup "$dir" "${arguments[@]}"
  elif [[ ${installed_now:-no} == yes ]]; then
    meson_setup --reconfigure "$dir"  # it may have been configured without what is there now
  fi
}

# Silent unless it fails.
meson_setup() {
  local log
  log=$(meson setup "$@" 2>&1) || {
    printf '%s\n' "$log" >&2
    fail "Meson could not configure the build: see above"
  }
}

# build DIR [TARGET...]
build() {
  local dir=$1
  shift
  say "building $dir/"
  ninja -C "$dir" "$@" || fail "the build in $dir/ failed"
}
