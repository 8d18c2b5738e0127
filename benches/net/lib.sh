# Shared by the benchmarks of this directory; to be sourced. Two namespaces joined by one veth pair: in `$S` runs one
# server at a time (10.78.0.1), in `$C` its clients (10.78.0.2). Both have names of their own, and both go when the
# script ends, however it ends. Nothing is sent anywhere else.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
: "${RACKWRIGHT:=$here/../../target/release/rackwright}"
: "${SECS:=5}"

# need PROGRAM=PACKAGE…: says what is missing and where Debian has it, and ends.
need() {
  local entry missing=()
  for entry in "$@"; do
    command -v "${entry%%=*}" >/dev/null || missing+=("${entry%%=*} (Debian package ${entry#*=})")
  done
  if ((${#missing[@]})); then
    printf '%s: missing: %s\n' "$(basename "$0")" "${missing[@]}" >&2
    exit 2
  fi
}

if [[ $(id -u) != 0 ]]; then
  echo "$(basename "$0"): needs root, for network namespaces" >&2
  exit 2
fi
need ip=iproute2 git=git awk=mawk ps=procps
if [[ ! -x $RACKWRIGHT ]]; then
  echo "$(basename "$0"): $RACKWRIGHT is missing: cargo build --release (or set RACKWRIGHT)" >&2
  exit 2
fi

S="rwbench-$$-s" C="rwbench-$$-c"
work="$(mktemp -d "${TMPDIR:-/var/tmp}/rackwright-bench.XXXXXX")"
chmod 755 "$work"
pids=()

clean_up() {
  set +e
  local pid
  # A server that had ended may have left a number behind that is somebody else's by now: only children are ended.
  for pid in "${pids[@]}"; do [[ $(ps -o ppid= -p "$pid" 2>/dev/null | tr -d ' ') == "$$" ]] && kill "$pid" 2>/dev/null; done
  wait 2>/dev/null
  ip netns del "$S" 2>/dev/null
  ip netns del "$C" 2>/dev/null
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

pair_up() {
  ip netns add "$S"
  ip netns add "$C"
  ip -n "$S" link add v type veth peer name v netns "$C"
  local namespace address
  for namespace in "$S:1" "$C:2"; do
    address=10.78.0.${namespace#*:}/16 namespace=${namespace%:*}
    ip -n "$namespace" addr add "$address" dev v
    ip -n "$namespace" link set v up
    ip -n "$namespace" link set lo up
  done
}
on_server() { ip netns exec "$S" "$@"; }
on_client() { ip netns exec "$C" "$@"; }

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { echo "$(basename "$0"): still not so after a while: $*" >&2; return 1; }
    sleep 0.1
  done
}
udp_bound() { on_server ss -Hlun "sport = :$1" | grep -q .; }
tcp_bound() { on_server ss -Hltn "sport = :$1" | grep -q .; }

server=0 # the process that is measured
# serve COMMAND…: starts a server in $S.
serve() {
  ip netns exec "$S" "$@" >"$work/server.out" 2>&1 &
  server=$!
  pids+=("$server")
}
stop_server() {
  ((server)) || return 0
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=0
}

# serve_rackwright [LISTEN]: with a fresh journal, an empty rack, a pool of 63,000 addresses, and $work/files as root.
serve_rackwright() {
  local listen=${1:-10.78.0.1} dir=$work/rackwright
  rm -rf "$dir"
  mkdir -p "$dir" "$work/files"
  git init -q --bare -b main "$dir/infra.git"
  git init -q -b main "$dir/tree"
  echo 'clusters: []' >"$dir/tree/clusters.yml"
  git -C "$dir/tree" add .
  git -C "$dir/tree" -c user.name=bench -c user.email=bench@example.net commit -qm 'An empty rack'
  git -C "$dir/tree" push -q "$dir/infra.git" main
  cat >"$dir/rackwright.yaml" <<YAML
repository: { url: "$dir/infra.git" }
state_dir: $dir/state
network:
  address: $listen
  dhcp:
    subnets:
      - { subnet: 10.78.0.0/16, range: 10.78.4.0-10.78.250.255, lease_time: 1h }
  tftp: { port: 69, root: $work/files }
  http: { port: 9999 }
deploy: { username: deploy }
YAML
  serve "$RACKWRIGHT" run --config "$dir/rackwright.yaml" --first-run
  wait_for 20 tcp_bound 9999
}

# cpu PID: CPU seconds used so far, with those of children that have ended.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13 + $14 + $15) / hz }' "/proc/$1/stat"; }
rss_mib() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
peak_mib() { awk '/^VmHWM/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
calc() { awk -v OFMT=%.6g "BEGIN { print ($*) }"; }
now() { date +%s.%N; }

# ratio NAME OURS THEIRS WANTED: at least (>=) or at most (<=) so much.
ratio() {
  awk -v name="$1" -v a="$2" -v b="$3" -v wanted="$4" 'BEGIN {
    if (b <= 0) { printf "ratio %-58s %10s (wanted %s): the peer did nothing\n", name, "-", wanted; exit }
    r = a / b; limit = substr(wanted, 3) + 0
    met = substr(wanted, 1, 2) == ">=" ? r >= limit : r <= limit
    printf "ratio %-58s %10.2f (wanted %s: %s)\n", name, r, wanted, met ? "met" : "MISSED"
  }'
}

machine() {
  printf 'machine: %s x %s, %s MiB, Linux %s, %s on %s\n' "$(nproc)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1)" \
    "$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)" "$(uname -r)" "$(stat -f -c %T "$work")" "$(date -u +%F)"
  printf 'rackwright: %s\n' "$("$RACKWRIGHT" --version 2>/dev/null || echo '?')"
  local package version
  for package in "$@"; do
    version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || version='?'
    printf '%s: %s\n' "$package" "$version"
  done
}
