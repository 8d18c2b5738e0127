#!/usr/bin/env bash
# A boot storm: 1,000 simulated machines switched on at once, three times over, against the daemon in a process of its own,
# all in a network namespace. See benches/storm.rs.
#
#   HOSTS=1000   machines
#   STORM=PATH   the built benchmark; else it is built
. "$(dirname "$0")/lib.sh"
: "${HOSTS:=1000}" "${STORM:=}"
machine git
pair_up
cd "$here/../.."
# Built outside of the namespace, which has no network.
[[ -n $STORM ]] || need cargo=cargo
binary=${STORM:-$(cargo bench --locked --bench storm --no-run --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*storm-[^"]*\)".*/\1/p' | tail -n1)}
[[ -x $binary ]] || { echo "storm.sh: the benchmark could not be built: cargo bench --bench storm --no-run" >&2; exit 1; }
TMPDIR=$work RACKWRIGHT=$(realpath "$RACKWRIGHT") RACKWRIGHT_STORM_HOSTS=$HOSTS on_server "$binary"
