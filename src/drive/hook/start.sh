# Runs a hook's program on a host. $1: its directory, which is removed at the end. $2: how many seconds it has. Standard
# input is the lifeline: when it ends, whoever asked for this is gone, and the program is ended too.
dir=$1
job=
watch=
finish() {
    trap "" HUP INT PIPE TERM
    [ -z "$watch" ] || kill "$watch" 2>/dev/null
    # Whatever it left running in its process group. (`--` before a number is an error to some shells.)
    [ -z "$job" ] || kill -KILL "-$job" 2>/dev/null
    cd /
    rm -rf -- "$dir"
}
trap finish EXIT
trap "exit 129" HUP
trap "exit 130" INT
trap "exit 141" PIPE
trap "exit 143" TERM
cd -- "$dir" || exit 1
exec 3<&0
. ./env
rm -f -- env start
# `timeout` makes a process group of its own, and passes signals on to all of it. Both outputs go one way, so that what is
# said last comes last.
timeout -k 10 -- "$2" ./run <input.json 2>&1 3<&- &
job=$!
{
    while read -r _; do :; done
    kill -TERM "$job"
} <&3 >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$job"
