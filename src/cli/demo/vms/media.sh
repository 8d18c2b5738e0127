#!/bin/sh
# Makes what the demo's machines boot: a kernel, an initramfs that is installer and installed system in one, and a
# disk image that boots both from disk, on BIOS (syslinux) and on UEFI (GRUB).
#
#   KERNEL  where a Debian kernel package is unpacked (or / for the installed one)
#   INIT    the first process of the initramfs
#   OUT     where vmlinuz, initrd.gz and disk.img go
set -eu
work=$(mktemp -d "$OUT/media.XXXXXX")
trap 'rm -rf "$work"' EXIT

release=$(cd "$KERNEL/lib/modules" && for v in *; do [ -e "$KERNEL/boot/vmlinuz-$v" ] && echo "$v"; done | sort -V | tail -n 1)
cp "$KERNEL/boot/vmlinuz-$release" "$OUT/vmlinuz"

root=$work/root
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/modules"
cp "$BUSYBOX" "$root/bin/busybox"
for applet in $("$BUSYBOX" --list); do [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"; done
cp "$INIT" "$root/init"
chmod 755 "$root/init"

[ -e "$KERNEL/lib/modules/$release/modules.dep" ] || depmod -b "$KERNEL" "$release"
for module in virtio_pci virtio_net virtio_blk virtio_rng button evdev; do
  modprobe -d "$KERNEL" -S "$release" --show-depends "$module" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$work/modules"
while read -r file; do
  name=$(basename "$file")
  case $name in
    *.xz) name=${name%.xz}; xz -dc "$file" > "$root/modules/$name" ;;
    *) cp "$file" "$root/modules/$name" ;;
  esac
  echo "$name" >> "$root/modules/order"
done < "$work/modules"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -6) > "$OUT/initrd.gz"

# One FAT partition from sector 2048 on. What is the machine's own (its name, where to check in) is written by the
# installer into the gap before it.
megabytes=28
image=$work/disk.img
truncate -s "${megabytes}M" "$image"
sectors=$((megabytes * 2048 - 2048))
little() { printf "\\$(printf %03o $(($1 & 255)))\\$(printf %03o $(($1 >> 8 & 255)))\\$(printf %03o $(($1 >> 16 & 255)))\\$(printf %03o $(($1 >> 24 & 255)))"; }
{ printf '\200\376\377\377\016\376\377\377'; little 2048; little "$sectors"; } |
  dd of="$image" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$image" bs=1 seek=510 conv=notrunc status=none
dd if="$MBR" of="$image" bs=440 count=1 conv=notrunc status=none
part=$image@@1048576
mformat -i "$part" -h 255 -s 63 -T "$sectors" -H 2048 -v RACKWRIGHT ::

args="console=ttyS0 quiet mitigations=off panic=-1 rackwright.stage=disk"
printf 'DEFAULT l\nPROMPT 0\nLABEL l\n KERNEL vmlinuz\n APPEND initrd=initrd.gz %s\n' "$args" > "$work/syslinux.cfg"
printf 'search --no-floppy --file --set=root /vmlinuz\nlinux /vmlinuz %s\ninitrd /initrd.gz\nboot\n' "$args" > "$work/grub.cfg"
grub-mkstandalone -O x86_64-efi -o "$work/BOOTX64.EFI" --locales= --fonts= --themes= \
  --install-modules="part_msdos fat linux normal search search_fs_file" \
  --modules="part_msdos fat search search_fs_file linux" "boot/grub/grub.cfg=$work/grub.cfg"
export MTOOLS_SKIP_CHECK=1
mmd -i "$part" ::/EFI ::/EFI/BOOT
mcopy -i "$part" "$OUT/vmlinuz" "$OUT/initrd.gz" "$work/syslinux.cfg" ::/
mcopy -i "$part" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
syslinux --install --offset 1048576 "$image"
mv "$image" "$OUT/disk.img"
