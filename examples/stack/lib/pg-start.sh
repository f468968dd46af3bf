#!/usr/bin/env bash
# pg-start.sh DATA COMMAND...: becomes COMMAND, a Postgres server or a program that
# starts one, when what an earlier one has left of itself in the folder DATA is gone:
# one that was killed looks alive until its parent has noticed (pid 1 may take
# seconds), and its last backends hold its memory for a moment. Waits 15 seconds at
# most; must not remove anything.
set -u
data=$1
shift

# 0: the server of the pid file runs. Then there is nothing to wait for.
lives() {
	pid=$(sed -n 1p "$data/postmaster.pid" 2>/dev/null)
	[ -n "$pid" ] && [ "/proc/$pid/cwd" -ef "$data" ]
}

leftovers() {
	[ -n "$pid" ] && [ -e "/proc/$pid" ] &&
		grep -q '^State:.Z' "/proc/$pid/status" && return 0
	for link in /proc/[0-9]*/cwd; do
		[ ! "$link" -ef "$data" ] || return 0
	done
	return 1
}

n=0
while ! lives && leftovers && [ $n -lt 150 ]; do
	sleep 0.1
	n=$((n + 1))
done
exec "$@"
