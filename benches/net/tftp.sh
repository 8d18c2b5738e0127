#!/usr/bin/env bash
# TFTP: rackwright, tftpd-hpa, atftpd and dnsmasq, one after the other in the same namespace.
#
#   MIB=32        size of the large file
#   MANY=100      clients at once, 1 MiB each
#   LOSSY=8       clients at once that lose 1 % of all packets both ways, 1 MiB each (nftables; there is no delay)
#   ATFTPD=PATH   atftpd's program; its package cannot be installed beside tftpd-hpa, so it is unpacked if it is not there
#
# One client, blocks of 1468 octets: in lock-step, and with a window of 8 blocks (RFC 7440; only atftpd knows it among the
# peers), over loopback and across a veth pair. Every file that arrives is compared with the original.
. "$(dirname "$0")/lib.sh"
need in.tftpd=tftpd-hpa dnsmasq=dnsmasq-base atftp=atftp curl=curl nft=nftables ss=iproute2 cmp=diffutils
: "${MIB:=32}" "${MANY:=100}" "${LOSSY:=8}" "${ROUNDS:=3}" "${SERVERS:=rackwright hpa atftpd dnsmasq}" "${ATFTPD:=}"

# Found, or fetched and unpacked into the work directory.
find_atftpd() {
  ATFTPD=${ATFTPD:-$(command -v atftpd || true)}
  [[ -n $ATFTPD ]] && return
  (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download atftpd >/dev/null 2>&1 && dpkg -x atftpd_*.deb atftpd) || true
  ATFTPD=$work/atftpd/usr/sbin/atftpd
  [[ -x $ATFTPD ]] || { echo "tftp.sh: atftpd is missing (Debian package atftpd) and left out" >&2; SERVERS=${SERVERS//atftpd/}; }
}

serve_hpa() { serve in.tftpd -L -s -B 65464 -a "$1:69" -u root "$work/files"; }
serve_atftpd() { serve "$ATFTPD" --daemon --no-fork --port 69 --bind-address "$1" --user root --group root --maxthread 200 --logfile "$work/atftpd.log" "$work/files"; }
serve_dnsmasq() {
  serve dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --bind-interfaces --listen-address="$1" --enable-tftp \
    --tftp-root="$work/files" --tftp-max=200 --user=root --pid-file= --log-facility=/dev/null
}

fetch() { # FILE LOCAL ADDRESS [WINDOW]
  atftp --option 'blksize 1468' ${4:+--option "windowsize $4"} -g -r "$1" -l "$2" "$3" 69 >/dev/null 2>&1
}
export -f fetch

declare -A speed
# one SERVER WHERE ADDRESS [WINDOW]: the best of some rounds, because a virtual machine is not alone.
one() {
  local name=$1 where=$2 address=$3 window=${4:-} begin best=0 rate round
  local run=on_client
  [[ $where == loopback ]] && run=on_server
  for ((round = 0; round < ROUNDS; round++)); do
    rm -f "$work/got"
    begin=$(now)
    $run timeout 60 bash -c 'fetch "$@"' - large "$work/got" "$address" "$window" || true
    rate=$(calc "$MIB / ($(now) - $begin)")
    cmp -s "$work/got" "$work/files/large" || { echo "$name: the file did not arrive whole ($where)"; continue; }
    best=$(calc "$rate > $best ? $rate : $best")
  done
  speed[$name:$where:${window:-1}]=$best
  printf '%-11s %-9s window %-2s %8.1f MiB/s\n' "$name" "$where" "${window:-1}" "$best"
}

# many SERVER CLIENTS WHAT: at once, across the veth.
many() {
  local name=$1 clients=$2 what=$3 begin end whole before
  rm -rf "$work/in" && mkdir "$work/in"
  before=$(cpu "$server") begin=$(now)
  on_client timeout 120 bash -c 'for ((i = 1; i <= $1; i++)); do curl -s -m 110 --tftp-blksize 1468 -o "$2/$i" tftp://10.78.0.1/small & done; wait' - "$clients" "$work/in" || true
  end=$(now)
  whole=$(for file in "$work"/in/*; do cmp -s "$file" "$work/files/small" && echo . || true; done | wc -l)
  speed[$name:$what]=$(calc "$whole / ($end - $begin)")
  printf '%-11s %-9s %3s clients, 1 MiB each: %s whole in %.2f s, %.1f MiB/s together, server CPU %.2f s\n' \
    "$name" "$what" "$clients" "$whole" "$(calc "$end - $begin")" "${speed[$name:$what]}" "$(calc "$(cpu "$server") - $before")"
}

loss() { # per mille of UDP packets dropped on their way in, on both sides
  local namespace
  for namespace in "$S" "$C"; do
    ip netns exec "$namespace" nft add table inet loss
    ip netns exec "$namespace" nft add chain inet loss in '{ type filter hook input priority 0; }'
    ip netns exec "$namespace" nft add rule inet loss in meta l4proto udp numgen random mod 1000 '<' "$1" counter drop
  done
}
no_loss() {
  ip netns exec "$S" nft delete table inet loss
  ip netns exec "$C" nft delete table inet loss
}

machine tftpd-hpa dnsmasq-base atftp curl
mkdir -p "$work/files"
chmod 755 "$work/files"
head -c $((MIB << 20)) /dev/urandom >"$work/files/large"
head -c $((1 << 20)) /dev/urandom >"$work/files/small"
pair_up
find_atftpd
start() { # SERVER ADDRESS
  "serve_$1" "$2"
  wait_for 10 udp_bound 69
}
for name in $SERVERS; do
  start "$name" 127.0.0.1
  one "$name" loopback 127.0.0.1
  one "$name" loopback 127.0.0.1 8
  stop_server
  start "$name" 10.78.0.1
  one "$name" veth 10.78.0.1
  one "$name" veth 10.78.0.1 8
  many "$name" "$MANY" many
  loss 10
  many "$name" "$LOSSY" lossy
  no_loss
  stop_server
done
compare() { # NAME KEY PEER WANTED
  [[ -n ${speed[$3:$2]:-} ]] && ratio "TFTP, $1, to $3" "${speed[rackwright:$2]}" "${speed[$3:$2]}" "$4"
  return 0
}
for where in loopback veth; do
  for peer in dnsmasq hpa atftpd; do compare "lock-step, $where" "$where:1" "$peer" '>=1'; done
  compare "window of 8, $where" "$where:8" atftpd '>=1.2'
done
for peer in dnsmasq hpa atftpd; do
  compare "$MANY clients" many "$peer" '>=1'
  compare "1 % loss" lossy "$peer" '>=1'
done
