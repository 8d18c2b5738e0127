#!/usr/bin/env bash
# HTTP: rackwright and nginx, one after the other in the same namespace, asked by wrk from the other end of a veth pair.
#
#   SECS=5   how long, each
#
# A file of 64 MiB over 1 and 32 connections, and one of 400 octets over 1, 32 and 100, kept alive (rackwright
# gives one client 128 connections at most).
. "$(dirname "$0")/lib.sh"
need nginx=nginx-light wrk=wrk curl=curl cmp=diffutils ss=iproute2
: "${SERVERS:=rackwright nginx}"

serve_nginx() {
  local dir=$work/nginx
  mkdir -p "$dir"
  cat >"$dir/conf" <<CONF
worker_processes $(nproc); user root; pid $dir/pid; error_log $dir/err; daemon off;
events { worker_connections 4096; }
http { sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000;
 client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3; uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
 server { listen 10.78.0.1:9999 backlog=4096; location /assets/ { alias $work/files/; } } }
CONF
  serve nginx -e "$dir/err" -c "$dir/conf"
  wait_for 10 tcp_bound 9999
}

# CPU seconds of the server with its workers (nginx's master does nothing itself).
cpu_all() {
  local total pid
  total=$(cpu "$server")
  for pid in $(ps -o pid= --ppid "$server"); do total=$(calc "$total + $(cpu "$pid")"); done
  echo "$total"
}

declare -A requests
octets() { awk -v text="$1" 'BEGIN { unit["B"] = 1e-6; unit["K"] = 1e-3; unit["M"] = 1; unit["G"] = 1e3; print text * unit[substr(text, match(text, /[BKMG]/), 1)] }'; }
load() { # SERVER FILE CONNECTIONS
  local name=$1 file=$2 connections=$3 before after rate transfer p99 bad
  before=$(cpu_all)
  read -r rate transfer p99 bad < <(on_client wrk -t 1 -c "$connections" -d "${SECS}s" --timeout 30s --latency "http://10.78.0.1:9999/assets/$file" | awk '
    /99%/ { p99 = $2 } /Requests\/sec/ { rate = $2 } /Transfer\/sec/ { transfer = $2 } /Non-2xx/ { bad += $NF } /Socket errors/ { bad += $4 + $6 + $8 + $10 }
    END { print rate, transfer, p99, bad + 0 }')
  after=$(cpu_all)
  requests[$name:$file:$connections]=$rate
  # A large file is not always through when the time is over: its octets count, in MB.
  [[ $file == large ]] && requests[$name:$file:$connections]=$(octets "$transfer")
  printf '%-11s %-6s %4s connections %10s requests/s %10s/s  p99 %9s  errors %s  server CPU %.2f s\n' \
    "$name" "$file" "$connections" "$rate" "$transfer" "$p99" "$bad" "$(calc "$after - $before")"
}

machine nginx-light wrk
mkdir -p "$work/files"
chmod 755 "$work/files"
head -c $((64 << 20)) /dev/urandom >"$work/files/large"
head -c 400 /dev/urandom >"$work/files/small"
pair_up
for name in $SERVERS; do
  "serve_$name"
  on_client curl -s -m 60 -o "$work/got" http://10.78.0.1:9999/assets/large
  cmp "$work/got" "$work/files/large"
  for connections in 1 32; do load "$name" large "$connections"; done
  for connections in 1 32 100; do load "$name" small "$connections"; done
  [[ $name == rackwright ]] && echo "rackwright: $(rss_mib "$server") MiB resident, $(peak_mib "$server") MiB at most"
  stop_server
done
for connections in 1 32; do
  ratio "HTTP, 64 MiB, $connections connections, to nginx" "${requests[rackwright:large:$connections]}" "${requests[nginx:large:$connections]}" '>=0.9'
done
for connections in 1 32 100; do
  ratio "HTTP, 400 octets, $connections connections, to nginx" "${requests[rackwright:small:$connections]}" "${requests[nginx:small:$connections]}" '>=0.5'
done
