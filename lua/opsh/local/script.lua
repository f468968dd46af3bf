-- local.script: the shell programs that start and end a process for good: what must
-- happen without us in between, so that a service outlives opsh and a pid that was
-- reused is not hit. Words come as positional parameters; nothing is put into the
-- text. POSIX sh, and setsid of util-linux.
local M = {}

-- start ticks of process $1, nothing when it is gone or a zombie
local TICKS = [[
ticks() {
	read -r line 2>/dev/null </proc/$1/stat || return 1
	line=${line##*) }
	set -- $line
	case $1 in Z|X) return 1 ;; esac
	shift 19
	echo "$1"
}
]]

---PIDFILE LOG COMMAND...: a session of its own, its output in LOG; fails when it has
---ended within 0.2 s, with the end of its log.
M.start = TICKS .. [[
pidfile=$1 log=$2
shift 2
: >>"$log" || exit 2
setsid "$@" </dev/null >>"$log" 2>&1 &
pid=$!
t=$(ticks $pid)
echo "$pid $t" >"$pidfile.new" && mv -- "$pidfile.new" "$pidfile" || {
	kill -KILL $pid
	exit 2
}
n=0
while [ $n -lt 4 ]; do
	sleep 0.05
	n=$((n + 1))
	[ "$(ticks $pid)" = "$t" ] && [ -n "$t" ] || {
		wait $pid
		echo "ended at once with status $?: $(tail -n 1 -- "$log")" >&2
		exit 1
	}
done
echo $pid
]]

---PID TICKS SIGNAL SECONDS: SIGNAL to it, and to the group that it leads; KILL after
---so many seconds. 0: it is gone.
M.stop = TICKS .. [[
pid=$1 t=$2 signal=$3 left=$(($4 * 20))
mine() {
	[ "$(ticks $pid)" = "$t" ]
}
group=$pid
read -r line 2>/dev/null </proc/$pid/stat && {
	line=${line##*) }
	set -- $line
	[ "$3" = $pid ] && group=-$pid
}
mine || exit 0
kill -s "$signal" -- $group
while mine; do
	[ $left -gt 0 ] || break
	left=$((left - 1))
	sleep 0.05
done
if mine; then
	echo "it did not end by $signal: killed" >&2
	kill -s KILL -- $group
	left=100
	while mine; do
		left=$((left - 1))
		[ $left -gt 0 ] || { echo "it does not end" >&2; exit 1; }
		sleep 0.05
	done
fi
[ $group = $pid ] || kill -s KILL -- $group 2>/dev/null
exit 0
]]

return M
