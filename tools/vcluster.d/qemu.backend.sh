# The backend qemu: QEMU's emulation of a PC (TCG), with Debian's own kernel, started without a boot loader or a decompressor.
# shellcheck shell=bash disable=SC2154  # variables of other parts

readonly qemu_mib=1200
readonly qemu_modules=(virtio_pci virtio_net 9p 9pnet_virtio virtio_rng overlay crc32_generic crc32_pclmul dummy veth
  rdma_rxe rdma_ucm ib_umad sch_netem sch_tbf)

# Of what is there: the newest; for --prepare that of the kernel which apt offers, if it knows one.
is_prepared_qemu() {
  [[ $(uname -m) == x86_64 ]] || unavailable "qemu nodes are for x86-64, and this is $(uname -m)"
  local image='' found
  [[ $verb != prepare ]] || image=$(qemu_image)
  # shellcheck disable=SC2207  # a pattern, without blanks (check_paths)
  found=("$cache"/$(qemu_key "${image:-*}"))
  kernel=${found[-1]}
  [[ -f $kernel/initrd ]]
}

# libdsm's traps by userfaultfd want 6.4 or later, so 6.12 where apt has it.
qemu_image() {
  apt-cache "${apt_options[@]}" depends linux-image-6.12-amd64 linux-image-amd64 2>/dev/null |
    awk '/Depends: linux-image-/ && !found++ { print $2 }' || true
}

qemu_key() { printf 'qemu-%s-%s' "$1" "$({ cat "$parts/qemu.init"; printf '%s\n' "${qemu_modules[@]}"; } | sha256sum | cut -c1-8)"; }

prepare_qemu() {
  know linux-image-amd64
  local image made names
  image=$(qemu_image)
  kernel=$cache/$(qemu_key "$image")
  made=$kernel.new
  need_space "$cache" $qemu_mib "QEMU and its kernel"
  rm -rf "$made"
  mkdir -p "$made"
  say "fetching QEMU and $image"
  mapfile -t names < <({ lacking qemu-system-x86 kmod zstd xz-utils; printf '%s\n' qemu-system-x86; } | sort -u)
  unpack "$made/qemu" "${names[@]}"
  unpack "$made/image" "$image"
  ln -sfn usr/lib "$made/image/lib"  # where kmod looks
  qemu_extract "$made" "${image#linux-image-}"
  qemu_make_initrd "$made" "${image#linux-image-}"
  rm -rf "$made/image" "$made/log"
  mv "$made" "$kernel"
}

# The kernel as an ELF file: under emulation decompressing it would take longer than the rest of the boot.
qemu_extract() {
  local made=$1 image=$1/image/boot/vmlinuz-$2 entry magic at
  for entry in '\x28\xb5\x2f\xfd zstd -dc' '\xfd7zXZ\x00 xz -dc --single-stream'; do
    magic=${entry%% *}
    at=$(LC_ALL=C grep -abo -m 1 -P "$magic" "$image" | head -n 1 | cut -d : -f 1) || true
    [[ -n $at ]] || continue
    # shellcheck disable=SC2086  # words
    tail -c "+$((at + 1))" "$image" | qemu_tool "$made" ${entry#* } >"$made/vmlinux" || true  # more follows it, which is refused
    [[ $(head -c 4 "$made/vmlinux" | tail -c 3) != ELF ]] || return 0
  done
  fail "$exit_own" "no kernel can be taken out of $image: disk full? see $made/log"
}

# What a node starts with: busybox, the modules in the order of loading, and qemu.init.
qemu_make_initrd() {
  local made=$1 version=$2 root=$1/root module file
  mkdir -p "$root"/{bin,dev,proc,sys,modules,host,packages,layers,root}
  cp "$packages/usr/bin/busybox" "$root/bin/busybox"
  install -m 755 "$parts/qemu.init" "$root/init"
  qemu_tool "$made" depmod -b "$made/image" "$version" || fail "$exit_own" "depmod failed: see $made/log"
  for module in "${qemu_modules[@]}"; do
    qemu_tool "$made" modprobe -d "$made/image" -S "$version" --show-depends "$module" ||
      fail "$exit_own" "the kernel $version has no module $module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$made/modules"
  while read -r file; do
    cp "$file" "$root/modules/"
    file=${file##*/}
    [[ $file != *.xz ]] || qemu_tool "$made" xz -d "$root/modules/$file"
    printf '%s\n' "${file%.xz}"
  done <"$made/modules" >"$root/modules/order"
  [[ -s $root/modules/order ]] || fail "$exit_own" "no modules for the nodes' kernel: see $made/log"
  (cd "$root" && find . -mindepth 1 | "$packages/usr/bin/busybox" cpio -o -H newc -R 0:0 2>>"$made/log") >"$made/initrd"
  rm -rf "$root" "$made/modules"
}

# qemu_tool DIRECTORY NAME ARGUMENTS...: this machine's program of the name, or what was unpacked. kmod is several programs.
qemu_tool() {
  local made=$1 name=$2 tool
  shift 2
  tool=$(PATH=$PATH:/usr/sbin:/sbin command -v "$name") || {
    tool=$made/qemu/usr/bin/$name
    [[ -e $tool ]] || ln -s kmod "$tool"
  }
  LD_LIBRARY_PATH=$made/qemu/usr/lib/x86_64-linux-gnu "$tool" "$@" 2>>"$made/log"
}

# Becomes node $1. Its port of the network is descriptor 3. A file system by 9p is shared by a tag.
boot_qemu() {
  local share=local,security_model=none,multidevs=remap files
  files=(-virtfs "$share,path=/,mount_tag=host,readonly=on" -virtfs "$share,path=$packages,mount_tag=packages,readonly=on"
    -virtfs "$share,path=$run,mount_tag=run")
  [[ -z $shared ]] || files+=(-virtfs "$share,path=$shared,mount_tag=shared")
  export LD_LIBRARY_PATH=$kernel/qemu/usr/lib/x86_64-linux-gnu
  exec "$kernel/qemu/usr/bin/qemu-system-x86_64" -L "$kernel/qemu/usr/share/qemu" -L "$kernel/qemu/usr/share/seabios" \
    -nodefaults -no-user-config -display none -no-reboot -M q35 -accel tcg,thread=multi -cpu max \
    -smp "$processors" -m "$memory_mb" -kernel "$kernel/vmlinux" -initrd "$kernel/initrd" \
    -append "$(qemu_kernel_options) vc_run=$run vc_node=$1" "${files[@]}" \
    -netdev dgram,id=net,local.type=fd,local.str=3 -device "virtio-net-pci,netdev=net,mac=$(mac_of "$1"),romfile=" \
    -monitor none -serial stdio
}

# A slow machine is no broken one: no_timer_check and the rest keep the kernel from drawing conclusions.
qemu_kernel_options() {
  printf '%s ' console=ttyS0 quiet panic=-1 no_timer_check tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1 \
    mitigations=off random.trust_cpu=on
}
