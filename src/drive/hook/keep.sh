# Holds a private directory on a host for as long as somebody holds the other end of standard input. Given to the login
# shell as an argument, so nothing in here may be secret. $1: a command to become root with, or nothing. $2: seconds.
dir=$(mktemp -d) || exit 1
finish() {
    cd /
    rm -rf -- "$dir"
}
trap finish EXIT
trap "exit 129" HUP
trap "exit 130" INT
trap "exit 141" PIPE
trap "exit 143" TERM
cd -- "$dir" || exit 1
printf "rackwright %s\n" "$dir" || exit 1
# The files come in, then the word; or the end of standard input, when nobody is there any more.
IFS= read -r word && [ "$word" = go ] || exit 1
# $1 is split into words on purpose.
$1 sh ./start "$dir" "$2"
