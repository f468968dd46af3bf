# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# helpers.sh: what components call: processes with pid files, free ports,
# waiting with a deadline, quoting. Owns the pid files and logs of the
# component at work (stack_dir). Must not know a component, nor a signal
# handler's work: that is stack's.

# --- for components -------------------------------------------------------

# stack_fail WHAT [LOG]: says what failed, where the log is and how it ends.
stack_fail() {
	stack_say "$1"
	if [ -n "${2:-}" ]; then
		stack_say "log: $2"
		if [ -s "$2" ]; then
			tail -n 20 -- "$2" | sed 's/^/  | /' >&2
		else
			stack_say 'the log is empty'
		fi
	fi
	return 1
}

# stack_program NAME...: prints the first of them that is installed.
stack_program() {
	local name
	for name in "$@"; do
		command -v "$name" && return 0
	done
	stack_fail "cannot find '$1': install it or put it on PATH"
}

# stack_free_port [N]: prints N different free loopback ports. They are bound
# together, so they differ; they may be taken before use, so callers retry.
stack_free_port() {
	local count=${1:-1}
	if command -v perl >/dev/null 2>&1; then
		perl -MSocket -e '
			my @held;
			for (1 .. $ARGV[0]) {
				socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!;
				bind($s, sockaddr_in(0, INADDR_LOOPBACK)) or die $!;
				push @held, $s;
				print((sockaddr_in(getsockname $s))[0], "\n");
			}' "$count"
	elif command -v python3 >/dev/null 2>&1; then
		python3 -c '
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])' "$count"
	else
		stack_fail "cannot find a free port: needs 'perl' or 'python3'"
	fi
}

# stack_within SECONDS COMMAND...: polls until COMMAND succeeds or time is up.
stack_within() {
	local until=$((SECONDS + $1 + 1))
	shift
	while ! "$@"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.05
	done
}

# stack_brief COMMAND...: COMMAND, cut short if it hangs (where timeout is).
stack_brief() {
	if command -v timeout >/dev/null 2>&1; then
		timeout 5 "$@"
	else
		"$@"
	fi
}

# stack_http PORT PATH [USER:PASSWORD]: prints the body of a GET on loopback;
# fails unless the status is 200. The shell's own socket: there may be no curl.
stack_http() {
	local auth=
	[ -z "${3:-}" ] || auth="Authorization: Basic $(printf '%s' "$3" |
		openssl base64 -A)"
	# shellcheck disable=SC2016 # another shell's
	stack_brief "$BASH" -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
		printf "%s\r\n" "GET $2 HTTP/1.0" "Host: 127.0.0.1" ${3:+"$3"} "" >&3
		read -r _ code _ <&3 && [ "$code" = 200 ] || exit 1
		while read -r line && [ "$line" != "$(printf "\r")" ]; do :; done <&3
		cat <&3' stack_http "$1" "$2" "$auth" 2>/dev/null
}

# stack_spawn NAME COMMAND...: COMMAND as a background process in a process
# group of its own (a terminal's Ctrl-C must not reach it), its output in
# NAME.log, its pid in NAME.pid before a signal can end this shell.
stack_spawn() {
	local name=$1
	shift
	stack_critical=1
	set -m
	(
		trap - INT QUIT TERM HUP
		exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
		exec "$@"
	) </dev/null >>"$stack_dir/$name.log" 2>&1 &
	stack_pid=$!
	set +m
	printf '%s %s\n' "$stack_pid" "$(stack_mark "$stack_pid")" \
		>"$stack_dir/$name.pid"
	disown "$stack_pid" 2>/dev/null
	stack_critical=0
	[ "$stack_signal" -eq 0 ] || stack_abort "$stack_signal"
}

# stack_put NAME VALUE: one line of `env`.
stack_put() {
	printf "%s='%s'\n" "$1" "$(printf '%s' "$2" | sed "s/'/'\\\\''/g")"
}

# stack_lua TEXT: TEXT as a Lua string.
stack_lua() {
	printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

# stack_secret: prints 32 random hex digits.
stack_secret() {
	od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

# stack_stop: stops every process of the component at work: TERM, then KILL.
# CONT, since a test may have left one stopped.
stack_stop() {
	local file left=0
	for file in "$stack_dir"/*.pid; do
		[ -f "$file" ] && stack_alive "$file" || continue
		kill -TERM "$stack_pid" 2>/dev/null
		kill -CONT "$stack_pid" 2>/dev/null
	done
	if ! stack_within 3 stack_all_dead; then
		for file in "$stack_dir"/*.pid; do
			[ -f "$file" ] && stack_alive "$file" || continue
			kill -KILL "$stack_pid" 2>/dev/null
		done
		stack_within 5 stack_all_dead || left=1
	fi
	if [ "$left" -ne 0 ]; then
		stack_fail "cannot stop every process of '$stack_dir'"
		return 1
	fi
	rm -f -- "$stack_dir"/*.pid
}

# --- processes ------------------------------------------------------------

# stack_stat PID: prints state and start time, or fails. A pid alone may name
# another process by now; pid and start time may not.
stack_stat() {
	local line
	if [ -r /proc/self/stat ]; then
		{ read -r line </proc/"$1"/stat; } 2>/dev/null || return 1
		line=${line##*) }
		# shellcheck disable=SC2086 # split on purpose
		set -- $line
		printf '%s %s\n' "$1" "${20}"
	else
		line=$(LC_ALL=C ps -o stat= -o lstart= -p "$1" 2>/dev/null) || return 1
		# shellcheck disable=SC2086 # split on purpose
		set -- $line
		printf '%s %s\n' "${1%"${1#?}"}" "$2-$3-$4-$5-$6"
	fi
}

stack_mark() {
	local state
	state=$(stack_stat "$1") || state='X gone'
	printf '%s' "${state#* }"
}

# stack_alive PIDFILE: sets stack_pid; a zombie is dead (there may be no init
# that reaps it).
stack_alive() {
	local mark state
	stack_pid=0
	read -r stack_pid mark 2>/dev/null <"$1" || return 1
	state=$(stack_stat "$stack_pid") || return 1
	case $state in
	Z*|X*) return 1 ;;
	esac
	[ "${state#* }" = "$mark" ]
}

stack_all_dead() {
	local file
	for file in "$stack_dir"/*.pid; do
		[ -f "$file" ] && stack_alive "$file" && return 1
	done
	return 0
}
