#!/usr/bin/env bash
# DHCP exchanges a second: rackwright, Kea (memfile) and dnsmasq, one after the other in the same namespace.
#
#   RATES="500 1000 2000 4000 8000 9000"   offered to rackwright and Kea, exchanges a second
#   SECS=5                            how long, each
#   CLIENTS=100                       udhcpc clients of the direct part (0: leave it out)
#
# Relayed: perfdhcp, which always plays a relay, DISCOVER to ACK, with 50,000 MACs on a fresh lease database. Above some
# 8,000 a second it is perfdhcp itself that is short of CPU; there the server's CPU seconds for 10,000 exchanges tell.
# Renewals: the same 1,000 clients over and over. Direct: macvlan interfaces and busybox udhcpc, all at once, by broadcast.
# rackwright has each lease on the disk before its ACK (fsync); Kea writes its file without waiting for the disk.
. "$(dirname "$0")/lib.sh"
need perfdhcp=kea-admin kea-dhcp4=kea-dhcp4-server dnsmasq=dnsmasq-base ss=iproute2
: "${RATES:=500 1000 2000 4000 8000 9000}" "${CLIENTS:=100}"
# dnsmasq rewrites its lease file for each lease: it is not offered what would only be dropped.
: "${DNSMASQ_RATES:=100 250 500 500 500}" "${SERVERS:=rackwright kea dnsmasq}"

serve_kea() {
  local dir=$work/kea
  rm -rf "$dir" && mkdir -p "$dir"
  cat >"$dir/kea.json" <<JSON
{ "Dhcp4": {
  "interfaces-config": { "interfaces": ["v"], "dhcp-socket-type": "raw" },
  "lease-database": { "type": "memfile", "persist": true, "name": "$dir/leases.csv", "lfc-interval": 0 },
  "valid-lifetime": 3600,
  "multi-threading": { "enable-multi-threading": true, "thread-pool-size": 2, "packet-queue-size": 64 },
  "subnet4": [ { "subnet": "10.78.0.0/16", "pools": [ { "pool": "10.78.4.0-10.78.250.255" } ] } ],
  "loggers": [ { "name": "kea-dhcp4", "output_options": [ { "output": "$dir/log" } ], "severity": "ERROR" } ] } }
JSON
  # It wants its directories by environment, and drops nothing that it cannot lock there.
  KEA_PIDFILE_DIR=$dir KEA_LOCKFILE_DIR=$dir serve kea-dhcp4 -c "$dir/kea.json"
  wait_for 20 udp_bound 67 || sleep 2
  sleep 1
}
serve_dnsmasq() {
  : >"$work/dnsmasq.leases"
  serve dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --bind-interfaces --interface=v --except-interface=lo \
    --dhcp-authoritative --no-ping --dhcp-lease-max=100000 --dhcp-range=10.78.4.0,10.78.250.255,255.255.0.0,1h \
    --dhcp-leasefile="$work/dnsmasq.leases" --quiet-dhcp --user=root --pid-file= --log-facility=/dev/null
  wait_for 20 udp_bound 67
  sleep 1
}

# load RATE [perfdhcp flags…] -> acks offers-sent offer-avg-ms ack-avg-ms ack-max-ms
load() {
  local rate=$1
  shift
  on_client timeout $((SECS + 30)) perfdhcp -4 -l v -r "$rate" -p "$SECS" -W 1000000 "$@" 10.78.0.1 2>&1 | awk '
    /sent packets:/ { sent[++n] = $3 } /received packets:/ { got[n] = $3 }
    /avg delay:/ { avg[n] = $3 } /max delay:/ { max[n] = $3 }
    END { print got[2] + 0, sent[1] + 0, avg[1] + 0, avg[2] + 0, max[2] + 0 }'
}

declare -A best last cpu_per renew_cpu direct_cpu
row() { printf '%-11s %-10s %7s %9s %9s %8s %9s %9s %9s\n' "$@"; }
measure() { # SERVER KIND RATE flags…
  local name=$1 kind=$2 rate=$3 before after acks sent offer ack worst per
  shift 3
  before=$(cpu "$server")
  read -r acks sent offer ack worst < <(load "$rate" "$@")
  after=$(cpu "$server")
  # A server that answered next to nothing has no cost per exchange.
  per=$(awk -v c="$(calc "$after - $before")" -v n="$acks" 'BEGIN { print (n > 100 ? sprintf("%.2f", c / n * 10000) : "-") }')
  row "$name" "$kind" "$rate" "$(calc "int($acks / $SECS)")" "$(calc "$sent - $acks")" "$offer" "$ack" "$worst" "$per"
  if [[ $kind == relayed ]]; then
    last[$name]=$(calc "$acks / $SECS")
    [[ $per == - ]] || cpu_per[$name:$rate]=$per
    best[$name]=$(calc "$acks / $SECS > ${best[$name]:-0} ? $acks / $SECS : ${best[$name]:-0}")
  else
    renew_cpu[$name]=$per
  fi
}

direct() { # SERVER: all clients at once
  local name=$1 i begin before end bound script=$work/script
  rm -rf "$work/bound" && mkdir "$work/bound"
  printf '#!/bin/sh\n[ "$1" = bound ] && echo $ip >%s/bound/$interface\nexit 0\n' "$work" >"$script"
  chmod +x "$script"
  for ((i = 1; i <= CLIENTS; i++)); do
    printf 'link add link v name m%d address 02:77:00:00:%02x:%02x type macvlan mode bridge\nlink set m%d up\n' "$i" $((i / 256)) $((i % 256)) "$i"
  done | ip -n "$C" -batch -
  before=$(cpu "$server") begin=$(now)
  # One shell in the namespace starts them all: an `ip netns exec` for each would cost more than what is measured.
  on_client timeout 60 bash -c 'for ((i = 1; i <= $1; i++)); do busybox udhcpc -i m$i -n -q -f -t 5 -T 2 -s "$2" >/dev/null 2>&1 & done; wait' - "$CLIENTS" "$script" || true
  end=$(now)
  bound=$(cat "$work"/bound/* 2>/dev/null | sort -u | wc -l)
  direct_cpu[$name]=$(calc "($(cpu "$server") - $before)")
  printf '%-11s direct: %s of %s clients bound, each to an address of its own, %.2f s in all, server CPU %.2f s\n' \
    "$name" "$bound" "$CLIENTS" "$(calc "$end - $begin")" "${direct_cpu[$name]}"
  for ((i = 1; i <= CLIENTS; i++)); do echo "link del m$i"; done | ip -n "$C" -batch -
}

machine kea-dhcp4-server dnsmasq-base
pair_up
row server kind offered/s ACKs/s unanswered 'OFFER ms' 'ACK ms' 'max ms' 'CPU s/10k'
for name in $SERVERS; do
  rates=$RATES
  [[ $name == dnsmasq ]] && rates=$DNSMASQ_RATES
  "serve_$name"
  for rate in $rates; do measure "$name" relayed "$rate" -R 50000; done
  [[ $name == dnsmasq ]] && held=$(wc -l <"$work/dnsmasq.leases")
  stop_server
  "serve_$name"
  [[ $name == dnsmasq ]] && rate=250 || rate=4000
  measure "$name" again "$rate" -R 1000
  if [[ $name == rackwright ]]; then
    echo "rackwright: $(rss_mib "$server") MiB resident, $(peak_mib "$server") MiB at most; journal $(du -ch "$work"/rackwright/state/journal.db* | tail -n1 | cut -f1)"
  fi
  ((CLIENTS)) && command -v busybox >/dev/null && direct "$name"
  stop_server
done
[[ -n ${best[kea]:-} ]] && ratio 'DHCP, durable exchanges a second, to Kea (memfile)' "${best[rackwright]}" "${best[kea]}" '>=1'
[[ -n ${best[dnsmasq]:-} ]] && ratio 'DHCP, durable exchanges a second, to dnsmasq' "${best[rackwright]}" "${best[dnsmasq]}" '>=20'
# It slows down with each lease it holds; the others do not, and hold more by then.
[[ -n ${best[dnsmasq]:-} ]] && ratio "DHCP, the same, to dnsmasq on its way to $held leases" "${best[rackwright]}" "${last[dnsmasq]}" '>=20'
for rate in $RATES; do
  ((rate >= 2000)) && [[ -n ${cpu_per[kea:$rate]:-} ]] &&
    ratio "DHCP, CPU for 10,000 exchanges at $rate/s, to Kea" "${cpu_per[rackwright:$rate]}" "${cpu_per[kea:$rate]}" '<=0.67'
done
[[ -n ${renew_cpu[kea]:-} ]] && ratio 'DHCP, CPU for 10,000 exchanges of known clients, to Kea' "${renew_cpu[rackwright]}" "${renew_cpu[kea]}" '<=0.67'
exit 0
