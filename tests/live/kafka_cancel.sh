#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154 # Lua in quotes; names of test.sh
# kafka_cancel.sh: Ctrl-C ends a reader, a write and a question within a second, with
# the broker well, frozen or dead, and says what became of the messages. What of them
# stands in a topic after a fault is of kafka_faults.sh.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
out=$t_tmp/out
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state
t_up kafka
target=events=kafka://$OPSH_KAFKA_BROKERS
node=$OPSH_KAFKA_NODE

# --- Ctrl-C -----------------------------------------------------------------------------
# stopped NAME CODE PATTERN: Ctrl-C within a second; what is said matches.
stopped() {
	local pid began took
	"$opsh" --target "$target" -e "$2" </dev/null >"$out" 2>&1 &
	pid=$!
	t_reap "$pid"
	t_within 10 grep -q begun "$out" || t_fail "$1: it begins" "$(cat "$out")"
	[ "$4" ] && "$node" "$4" 1
	sleep 0.5
	began=$(date +%s%N)
	kill -INT "$pid"
	wait "$pid"
	t_is "$1: exit 130" $? 130
	took=$((($(date +%s%N) - began) / 1000000))
	t_ok "$1: within a second ($took ms)" test "$took" -lt 1000
	t_match "$1: it says what became of it" "$(cat "$out")" "$3"
}

interrupted() {
	stopped 'a reader that waits' 'print "begun" io.flush()
		for m in events:follow { topic = "back" } do end' '*interrupted*' ''
	stopped 'a write, the broker frozen' 'events:produce("back", { "x" })
		print "begun" io.flush() require("opsh.task").sleep(0.3)
		events:produce("back", { "a", "b" })' \
		'*cancelled: *target events*outcome *' freeze
	stopped 'a question, the broker frozen' 'print "begun" io.flush()
		events:identity()' '*interrupted*' ''
	"$node" thaw 1
	stopped 'a write, the broker dead' 'events:produce("back", { "x" })
		print "begun" io.flush() require("opsh.task").sleep(0.3)
		events:produce("back", { "a", "b" })' \
		'*was stopped: 0 done, 2 failed, 0 unknown*' kill
}

t_ok 'a topic' timeout 60 "$opsh" --target "$target" -e \
	'events:create_topic("back", { partitions = 3 })'
interrupted
t_done
