# shellcheck shell=bash disable=SC2034,SC2154
# test.sh: what shell tests share: counted checks, a throwaway folder, servers
# from examples/stack, waiting with a deadline. Source it first, end with
# t_done. Owns the folder t_tmp and whatever runs below it; all of it is gone
# when the test ends, however it ends.

set -u
# what CI or a person has set is not what is tested
unset CI OPSH_LOG NO_COLOR CLICOLOR_FORCE
t_here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
t_root=$(cd -- "$t_here/../.." && pwd -P)
t_stack=$t_root/examples/stack/stack
t_passed=0
t_failed=0
t_pids=				# processes given to t_reap
t_tmp=$(mktemp -d "${TMPDIR:-/tmp}/opsh-test.XXXXXX") || exit 1
trap t_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

t_end() {
	local rc=$? pid dir
	trap '' INT TERM HUP
	for pid in $t_pids; do
		kill -KILL "$pid" 2>/dev/null
	done
	for dir in "$t_tmp"/*/; do
		[ ! -f "$dir.opsh-stack" ] || "$t_stack" down "$dir"
	done
	rm -rf -- "$t_tmp"
	exit "$rc"
}

# t_reap PID...: killed at the end, if still there.
t_reap() {
	t_pids="$t_pids $*"
}

# t_up COMPONENT...: starts servers and takes over their environment.
t_up() {
	"$t_stack" up "$t_tmp/stack" "$@" || exit 1
	set -a
	# shellcheck source=/dev/null
	. "$t_tmp/stack/env"
	set +a
}

t_pass() {
	t_passed=$((t_passed + 1))
}

# t_fail NAME [DETAIL]
t_fail() {
	t_failed=$((t_failed + 1))
	printf 'not ok: %s\n' "$1" >&2
	[ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/  | /' >&2
}

# t_is NAME GOT WANTED
t_is() {
	if [ "$2" = "$3" ]; then
		t_pass
	else
		t_fail "$1" "got '$2', expected '$3'"
	fi
}

# t_match NAME GOT PATTERN: a shell pattern.
t_match() {
	# shellcheck disable=SC2254 # a pattern on purpose
	case $2 in
	$3) t_pass ;;
	*) t_fail "$1" "got '$2', expected '$3'" ;;
	esac
}

# t_ok NAME COMMAND...: COMMAND succeeds.
t_ok() {
	local t_name=$1 t_said	# the command sees them: no names of a test's own
	shift
	if t_said=$("$@" 2>&1); then
		t_pass
	else
		t_fail "$t_name" "$t_said"
	fi
}

# t_within SECONDS COMMAND...: polls; 1 when time is up.
t_within() {
	local until=$((SECONDS + $1 + 1))
	shift
	while ! "$@"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.05
	done
}

# t_gone PID...: none of them runs (a zombie does not).
t_gone() {
	local pid state
	for pid in "$@"; do
		state=$(LC_ALL=C ps -o stat= -p "$pid" 2>/dev/null) || continue
		case $state in
		Z*) ;;
		*) return 1 ;;
		esac
	done
}

t_done() {
	printf '%d passed, %d failed\n' "$t_passed" "$t_failed"
	[ "$t_failed" -eq 0 ]
	exit
}
