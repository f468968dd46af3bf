#!/usr/bin/env bash
# pg-node.sh: what may happen to a whole node of the components postgres-ha and
# patroni: all processes of one data folder at once, the backends too, which after
# their postmaster's death alone may still commit. Owns nothing; must not touch
# processes of another folder.
#
#   pg-node.sh kill DATA      KILL: as if the power went
#   pg-node.sh freeze DATA    STOP, and
#   pg-node.sh thaw DATA      CONT: a machine that hangs, and comes back
#   pg-node.sh pids DATA      who they are
set -u

pids() {
	local link
	for link in /proc/[0-9]*/cwd; do
		[ "$link" -ef "$data" ] || continue
		link=${link#/proc/}
		printf '%s\n' "${link%/cwd}"
	done
}

# all SIGNAL: until nobody new is found; the postmaster has the lowest number.
all() {
	local pid seen=' ' new=1
	while [ -n "$new" ]; do
		new=
		for pid in $(pids); do
			case $seen in
			*" $pid "*) continue ;;
			esac
			kill -"$1" "$pid" 2>/dev/null && new=1
			seen="$seen$pid "
		done
	done
}

data=${2:-}
case ${1:-}:$# in
kill:2) all KILL ;;
freeze:2) all STOP ;;
thaw:2) all CONT ;;
pids:2) pids ;;
*)
	sed -n 's/^#   //p' "$0" >&2
	exit 2
	;;
esac
