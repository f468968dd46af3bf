#!/usr/bin/env bash
# pg-writer.sh: an application that writes all the time, and knows what it was
# promised: numbered rows into the table `writes`, one a transaction; a number
# whose COMMIT was answered is appended to FILE as "N MONOTONIC WALL" (seconds). What
# was not answered is given up, the next number is tried on a new connection. Ends
# on TERM or INT. At most 500 rows a second. Owns FILE, and FILE.log with what went
# wrong; must not try a number twice.
#
#   pg-writer.sh write URL FILE     until it is told to stop
#   pg-writer.sh report URL FILE    acknowledged, lost (not in the table), longest gap
set -u

deadline=2	# seconds for one row, connecting included

usage() {
	sed -n 's/^#   //p' "$0" >&2
	exit 2
}

say() {
	printf '%s pg-writer: %s\n' "$EPOCHREALTIME" "$*" >&2
}

# bare URL [OPTION...]: psql that prints values only and ends at the first error.
bare() {
	exec psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$@"
}

hang_up() {
	[ -z "${client_PID:-}" ] || {
		kill -KILL "$client_PID"
		wait "$client_PID"
	} 2>/dev/null
	client_PID=
}

# one N: sends it and waits for the answer. psql has the answer when the
# transaction is committed: each statement is one.
one() {
	local reply
	printf 'insert into writes (n) values (%d) returning n;\n' "$1" \
		>&"${client[1]}" || return 1
	IFS= read -r -t "$deadline" reply <&"${client[0]}" && [ "$reply" = "$1" ]
} 2>/dev/null

write() {
	local url=$1 n mono failed=0
	exec 3<> <(:) 4>>"$2" || exit 1	# 3: nothing ever comes from it
	exec 2>>"$2.log"
	n=$(tail -n 1 -- "$2")
	n=${n%% *}
	trap 'hang_up; exit 0' TERM INT HUP
	trap '' PIPE
	# Others' rows may be there already.
	while [ -z "$n" ] && ! n=$(bare "$url" -c \
		'select coalesce(max(n), 0) from writes'); do
		sleep 0.05
	done
	while :; do
		coproc client { trap - TERM INT HUP PIPE; bare "$url" 3>&- 4>&-; }
		while n=$((n + 1)) && one "$n"; do
			read -r mono _ </proc/uptime
			printf '%d %s %s\n' "$n" "$mono" "$EPOCHREALTIME" >&4
			failed=0
			read -r -t 0.002 _ <&3
		done
		[ "$failed" -gt 0 ] || say "row $n was not acknowledged"
		failed=$((failed + 1))
		hang_up
		sleep 0.02
	done
}

report() {
	local acked lost
	acked=$(wc -l <"$2")
	lost=$({
		# All in one transaction: a pooler shares its connections.
		echo 'begin; create temp table acked (n bigint)' \
			'on commit drop; copy acked from stdin;'
		cut -d ' ' -f 1 -- "$2"
		printf '%s\n' '\.' 'select count(*) from acked
			where n not in (select n from writes); commit;'
	} | bare "$1") || exit 1
	awk -v acked="$acked" -v lost="$lost" '
		NR > 1 && $2 - last > gap { gap = $2 - last; from = wall; to = $3 }
		{ last = $2; wall = $3 }
		END { printf "acknowledged=%d lost=%d gap=%.2f from=%s to=%s\n",
			acked, lost, gap, from, to }' "$2"
}

[ $# -eq 3 ] || usage
case $1 in
write|report) "$1" "$2" "$3" ;;
*) usage ;;
esac
