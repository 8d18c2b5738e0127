#!/bin/sh
# The first process of the demo's little system. Booted from the network it is an installer that claims by check-in,
# writes the disk and reboots; booted from the disk it is what was installed.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module" 2>/dev/null; done

say() { echo "rackwright: $*"; }
arg() { for word in $(cat /proc/cmdline); do case $word in "rackwright.$1="*) echo "${word#*=}" ;; esac; done | tail -n 1; }

# What an install leaves on the disk for the system it installed: lines of text between boot record and partition.
disk=$(arg disk)
disk=${disk:-/dev/vda}
note() { dd if="$disk" bs=512 skip=64 count=8 2>/dev/null | sed -n "s/^$1=//p"; }

nic=
for path in /sys/class/net/*; do
  [ "$(cat "$path/address")" = "$(arg mac)" ] && nic=${path##*/}
done
[ -n "$nic" ] || nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
mac=$(cat "/sys/class/net/$nic/address")

cat > /tmp/lease <<'D'
#!/bin/sh
case $1 in
  bound | renew)
    ifconfig "$interface" "$ip" netmask "$subnet"
    [ -n "$router" ] && route add default gw "$router"
    echo "$ip" > /tmp/ip
    ;;
esac
D
chmod 755 /tmp/lease
ifconfig lo up
ifconfig "$nic" up
until udhcpc -i "$nic" -n -q -t 10 -T 2 -s /tmp/lease >/dev/null 2>&1; do say "no address"; done
ip=$(cat /tmp/ip)

# post URI ACTION HOSTNAME: prints the answer.
post() {
  wget -q -O - --header 'Content-Type: application/json' --post-data \
    "{\"action\":\"$2\",\"hostname\":\"$3\",\"host_macaddr\":\"$mac\",\"host_ipaddr\":\"$ip\",\"bmc_macaddr\":\"\",\"bmc_ipaddr\":\"\"}" "$1"
}
# The same until it is taken.
report() {
  until post "$@" >/dev/null; do say "$2 was not taken"; sleep 2; done
  say "$2 from $ip"
}

case $(arg stage) in
  install)
    host=$(arg host)
    until answer=$(post "$(arg http)/checkin/host" claim "$host"); do say "claim refused"; sleep 5; done
    uri=$(echo "$answer" | sed -n 's/.*"checkin_uri":"\([^"]*\)".*/\1/p')
    say "claimed from $ip"
    report "$uri" install-start "$host"
    installs=$(note installs)
    if ! wget -q -O - "$(arg http)/assets/disk.img" | dd of="$disk" bs=1M 2>/dev/null; then
      say "the disk could not be written"
      reboot -f
    fi
    printf 'host=%s\nuri=%s\ninstalls=%s\n' "$host" "$uri" "$((${installs:-0} + 1))" > /tmp/note
    dd if=/dev/zero of="$disk" bs=512 seek=64 count=8 conv=notrunc 2>/dev/null
    dd if=/tmp/note of="$disk" bs=512 seek=64 conv=notrunc 2>/dev/null
    sync
    report "$uri" install-complete "$host"
    reboot -f
    ;;
  disk)
    host=$(note host)
    say "booted from disk: $host"
    # Listens for the power button before it says that it is up: it may be pressed right after.
    for device in /sys/class/input/event*; do
      grep -q 'Power Button' "$device/device/name" && exec 3< "/dev/input/${device##*/}"
    done
    report "$(note uri)" system-boot_initial "${host%%.*}"
    dd of=/dev/null bs=24 count=1 <&3 2>/dev/null
    say "powering off"
    poweroff -f
    ;;
  *)
    say "booted without a stage"
    poweroff -f
    ;;
esac
