#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317,SC2034 # SQL and Python in quotes; names of
# test.sh and the stack; functions called by name
# postgres.sh: what the playbooks that look after a Postgres promise, on a real one:
# sessions that block, idle or run long are made, and found; what is shown is compared
# with psql's own queries; a plan leaves no write in the server's log, no terminal
# refuses. Owns throwaway servers and folders only. Last line: N passed, N failed.
#     postgres.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/opsh.sh
. "$t_here/opsh.sh"

# the python that has the packages of tests/deps.sh
python=/usr/bin/python3
[ -x "$python" ] || python=python3

# sql TEXT...: bare values, as the superuser.
sql() {
	timeout -k 1 30 psql -X -q -A -t -d "$OPSH_POSTGRES_SUPER_URL" "$@" 2>&1
}

query() { sql -c "$1"; }

# rows PROGRAM: Python on the result lines of $out: R, a list of their values, `by(n)`
# the n-th as a dict by its first text; prints what PROGRAM is.
rows() {
	python3 - "$out" "$1" <<-'EOF'
		import json, sys
		R, P = [], []
		for line in open(sys.argv[1]):
		    line = json.loads(line)
		    if line["type"] == "result": R.append(line["value"])
		    if line["type"] == "print": P.append(line["text"])
		def all_rows():
		    return [r for v in R if isinstance(v, list) for r in v]
		def where(**k):
		    return [r for r in all_rows()
		            if all(r.get(n) == v for n, v in k.items())]
		exec("print(" + sys.argv[2] + ")")
	EOF
}

# session NAME SQL...: a client in the background that runs them, then waits on its
# open connection until the test ends.
session() {
	local name=$1 statement
	shift
	mkfifo "$t_tmp/$name.in"
	PGAPPNAME=$name timeout -k 1 100 psql -X -q -d "$OPSH_POSTGRES_URL" \
		<"$t_tmp/$name.in" >"$t_tmp/$name.out" 2>&1 &
	t_reap $!
	disown $!
	exec {session_fd}>"$t_tmp/$name.in"
	for statement; do echo "$statement" >&"$session_fd"; done
}

pid_of() {
	query "select pid from pg_stat_activity where application_name = '$1'"
}

has_state() {
	[ "$(query "select count(*) from pg_stat_activity
		where application_name = '$1' and state = '$2'")" = 1 ]
}

waits() {
	[ "$(query "select count(*) from pg_stat_activity
		where application_name = '$1' and wait_event_type = 'Lock'")" = 1 ]
}

# writes_logged LINE: statements of opsh after that line of the server's log that
# are no reads; nothing when there is none. Its own session's are what it prepares,
# begins READ ONLY, and asks.
writes_logged() {
	python3 - "$OPSH_POSTGRES_LOG" "$1" <<-'EOF'
		import re, sys
		READS = re.compile(r"\s*(with own as|select|show|explain|prepare|"
		    r"begin( transaction)?( isolation level [a-z ]*)?[, ]*read only|begin$|commit|"
		    r"rollback|savepoint opsh|release savepoint opsh|deallocate \"opsh|"
		    r"set transaction read only|set local|with )", re.I | re.S)
		WRITES = re.compile(r"pg_terminate_backend\(|pg_cancel_backend\(|"
		    r"pg_reload_conf\(|pg_stat_statements_reset\(|explain \([^)]*analyze", re.I)
		text = "".join(open(sys.argv[1], errors="replace").readlines()[int(sys.argv[2]):])
		seen = 0
		for m in re.finditer(r"(?:LOG:  (?:statement|execute [^:]*): )(.*?)"
		        r"(?=^\d{4}-|\Z)", text, re.M | re.S):
		    seen += 1
		    if not READS.match(m.group(1)) or WRITES.search(m.group(1)):
		        print(" ".join(m.group(1).split())[:120])
		if not seen:
		    print("the log has nothing")
	EOF
}

# plan_only NAME...: a plan exits 0, or $plan_exit, and sends reads only.
plan_only() {
	local lines
	lines=$(wc -l <"$OPSH_POSTGRES_LOG")
	o plan "$@"
	exits "plan $*" "${plan_exit:-0}"
	t_is "plan $*: the server saw reads only" \
		"$(writes_logged "$lines" | sort -u)" ''
}

# types WORD ARG...: opsh on a terminal, where WORD is typed at the guard; what it
# showed in $out, its exit code in $rc.
types() {
	timeout -k 1 60 "$python" - "$out" "$opsh" "$@" <<-'EOF'
		import pexpect, sys
		out, opsh, word, *args = sys.argv[1:]
		t = pexpect.spawn(opsh, args, timeout=40, dimensions=(40, 200))
		t.logfile_read = open(out, "wb")
		t.expect("to go on: ")
		t.send(word + "\n")
		t.expect(pexpect.EOF)
		t.close()
		sys.exit(t.exitstatus if t.exitstatus is not None else 99)
	EOF
	rc=$?
	: >"$err"
}

# parses: every line of $out is JSON.
parses() {
	t_ok "$1" python3 -c 'import json, sys
n = sum(1 for line in open(sys.argv[1]) if json.loads(line) is not None)
assert n > 0' "$out"
}

# shellcheck source=postgres_sessions.sh
. "$t_here/../live/postgres_sessions.sh"
# shellcheck source=postgres_care.sh
. "$t_here/../live/postgres_care.sh"

t_up postgres
mkdir "$t_tmp/work"
cd "$t_tmp/work" || exit 1
if [ $# -gt 0 ]; then
	for name; do "$name"; done
	t_done
fi
sessions
care
t_done
