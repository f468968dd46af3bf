#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154,SC2015 # names shared with helpers
# kafka-node.sh: what may happen to one broker of the components kafka and kafka-ha.
# Called by the program `node` of their folder, which OPSH_KAFKA_NODE names. Keeps the
# pid file up to date, which stack and the `local` target read. Must not touch a
# process that is not the broker's.
#
#   node kill N      KILL: as if the power went
#   node freeze N    STOP, and
#   node thaw N      CONT: a machine that hangs, and comes back
#   node start N     starts it on its data; returns when it has joined
#   node answers N   0 when it answers a request for metadata
#   node pid N       its process, when it lives
set -u
umask 077

stack_dir=$1
shift
stack_here=$(cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
stack_critical=0 stack_signal=0 stack_limit=${OPSH_STACK_TIMEOUT:-30}

stack_say() {
	printf 'kafka: %s\n' "$*" >&2
}

# shellcheck source=helpers.sh
. "$stack_here/lib/helpers.sh"
# shellcheck source=kafka-server.sh
. "$stack_here/lib/kafka-server.sh"

usage() {
	sed -n 's/^#   //p' "$0" >&2
	exit 2
}

# signal NAME: to the broker; one that is dead is an error.
signal() {
	stack_alive "$pidfile" && kill -"$1" "$stack_pid" ||
		stack_fail "broker $node does not run"
}

died() {
	! stack_alive "$pidfile"
}

port() {
	sed -n 's|^advertised.listeners=PLAIN://127.0.0.1:\([0-9]*\).*|\1|p' \
		"$stack_dir/kafka$node.properties"
}

answers() {
	case $(kafka_brokers "$(port)") in
	[1-9]*) return 0 ;;
	*) return 1 ;;
	esac
}

# settled: dead, or it has joined since.
settled() {
	stack_alive "$pidfile" || return 0
	kafka_started "$node" "$lines" && answers
}

start() {
	local try
	if stack_alive "$pidfile"; then
		stack_say "broker $node runs already"
		return 0
	fi
	# Its port may be some client's for the moment.
	for try in 1 2 3 4 5; do
		lines=$(wc -l <"$log")
		stack_spawn "kafka$node" "$stack_dir/kafka$node.start"
		stack_within $((stack_limit * 2)) settled || break
		! stack_alive "$pidfile" || return 0
		tail -n "+$((lines + 1))" -- "$log" |
			grep -q 'Address already in use' || break
		sleep 1
	done
	stack_fail "broker $node does not come up" "$log"
}

node=${2:-}
pidfile=$stack_dir/kafka$node.pid log=$stack_dir/kafka$node.log
[ $# -eq 2 ] && [ -f "$stack_dir/kafka$node.start" ] || usage
case $1 in
kill) signal KILL && stack_within 5 died ;;
freeze) signal STOP ;;
thaw) signal CONT ;;
start) start ;;
answers) answers ;;
pid) stack_alive "$pidfile" && printf '%s\n' "$stack_pid" ;;
*) usage ;;
esac
