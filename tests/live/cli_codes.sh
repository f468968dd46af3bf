# shellcheck shell=bash disable=SC2016,SC2086,SC2154,SC2317,SC2034 # of cli_test.sh
# cli_codes.sh: the rest of cli_test.sh: each exit code that this build can end
# with, shown by a command that ends so, and that no code of the table is without
# one. Sourced; owns nothing.

codes_of_a_run() {
	o -e 'return 1'
	exits 'a value' 0
	with_run 'step("one", function() error "no" end)'
	o run pb.lua
	exits 'a step that fails' 1
	tells 'a step that fails is named' '*failed  one*no*run * exit 1 *'
	o run pb.lua n=x
	exits 'a parameter of another type' 2
	tells 'and what was expected' "*parameter 'n': expected an integer, got 'x'*"
	o -e 'f('
	exits 'syntax' 2
	playbook <<-'EOT'
	return { name = "x/pb", summary = "s", needs = {}, checks = {
	    { "never", function() return false, "the moon is wrong" end } },
	  run = function() print "ran" end }
	EOT
	o run pb.lua
	exits 'a check' 3
	tells 'why it failed' "*check 'never' failed: the moon is wrong*"
	says 'a check stops the run' ''
	with_run 'step("one", { verify = function() return false, "not there" end },
		function() t.cache:set("a", 1) end)'
	o run pb.lua
	exits 'a verification' 15
	tells 'what was not verified' '*not there*'
}

codes_of_targets() {
	o --target cache=redis://127.0.0.1:1 -e 'cache:ping()'
	exits 'nobody listens' 4
	tells 'who does not answer' "*'127.0.0.1:1'*refused*phase connect*"
	o --target cache=redis://no-such-host.invalid -e 'cache:ping()'
	exits 'no such host' 4
	tells 'the phase is dns' '*phase dns*'
	o --target "cache=redis://ops:wrongwrong@127.0.0.1:$OPSH_REDIS_PORT" \
		-e 'cache:ping()'
	exits 'a wrong password' 3
	t_is 'the password is nowhere' "$(grep -c wrongwrong "$out" "$err" |
		grep -vc ':0')" 0
	o -e 'cache:flushdb()'
	exits 'no guard' 14
	tells 'the flag is named' '*--approve cache*'
}

# restart: the server goes and another comes on the same port.
codes_of_a_change() {
	local port
	port=$(python3 -c 'import socket; s = socket.socket()
s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cat >server.sh <<-EOT
	#!/bin/sh
	redis-server --port $port --bind 127.0.0.1 --save '' --daemonize yes \
		--pidfile "$t_tmp/second.pid" --logfile /dev/null --dir "$t_tmp" >/dev/null
	n=0
	until redis-cli -p $port ping 2>/dev/null | grep -q PONG; do
		n=\$((n + 1)); [ "\$n" -lt 200 ] || exit 1; sleep 0.05
	done
	EOT
	chmod +x server.sh
	./server.sh || return
	o --target "cache=redis://127.0.0.1:$port" --approve local -e "
		cache:set('a', 1)
		os.execute 'redis-cli -p $port shutdown nosave; ./server.sh'
		cache:get 'a'
		cache:set('b', 2)"
	exits 'another server at the same address' 12
	t_is 'it got nothing' "$(redis-cli -p "$port" exists b)" 0
	redis-cli -p "$port" shutdown nosave
}

codes_of_doubt() {
	R client pause 3000 write >/dev/null
	o -e 'cache:set("doubt", 1, { timeout = 0.2 })'
	[ "$rc" -ne 2 ] || o --timeout 0.2 -e 'cache:set("doubt", 1)'
	exits 'a write without a reply' 13
	tells 'do not run it again' "*in doubt: 'SET doubt 1' on 'cache': look at the target*"
	o --timeout 0.2 --output jsonl -e 'cache:set("doubt", 1)'
	t_match 'and as a line of JSON' "$(grep '"doubt"' "$out")" \
		'*"target":"cache","type":"doubt",*"write":"SET doubt 1"}'
	o --timeout 0.2 -e 'pcall(cache.set, cache, "doubt", 1) error "other"'
	tells 'one that is not what the run ended with' \
		"*in doubt: 'SET doubt 1' on 'cache': look at the target*"
	with_run 'step("a", function() pcall(t.cache.set, t.cache, "doubt", 1,
		{ timeout = 0.2 }) end) step("b", function() error "other" end)'
	o run pb.lua
	tells 'a step that is done has dealt with its own' '*failed  b*'
	t_is 'and it is not told again' "$(grep -c 'in doubt' "$err")" 0
	R client unpause >/dev/null
	(ulimit -n 11 && exec "$opsh" -e 'sh.run { "true" }') >"$out" 2>"$err" </dev/null
	tells 'a program that could not be watched is not started' \
		"*cannot watch 'true': Too many open files*outcome failed*"
	o --timeout 0.2 -e 'sh.run { "sleep", "20" }'
	exits 'the deadline of the run, in a write' 13
	tells 'what was cut off' "*in doubt: 'sleep 20' on 'local': look at *"
	o --timeout 0.2 -e 'task.sleep(20)'
	exits 'the deadline of the run' 124
	o --timeout 0.2 -e 'while true do end'
	exits 'the deadline of a busy loop' 124
}

codes_of_a_lock() {
	playbook <<-'EOT'
	return { name = "x/pb", summary = "s", needs = {}, lock = "cli",
	  run = function() fs.append("held", "x") task.sleep(20) end }
	EOT
	"$opsh" run pb.lua </dev/null >/dev/null 2>&1 &
	local pid=$!
	t_reap "$pid"
	t_ok 'a run holds a lock' t_within 10 test -s held
	o run pb.lua
	exits 'a lock that is held' 11
	tells 'who has it' "*lock 'cli' is held by *, run 01*"
	kill "$pid"
	wait "$pid"
	rm -f held
}

codes_of_a_plan() {
	with_run 'step("w", function() t.cache:set("a", p.n) end)'
	o plan pb.lua --detailed-exitcode
	exits 'changes' 10
	says 'what would be written' '*1  w *cache *write *SET a 1*'
	o plan pb.lua
	exits 'a plan with changes' 0
	with_run 'return t.cache:get "a"'
	o plan pb.lua --detailed-exitcode
	exits 'no changes' 0
	with_run 'local n = t.cache:incr("n").value if n > 3 then print "x" end'
	o plan pb.lua
	exits 'a plan at its end' 20
	tells 'what it lacks' '*INCR*'
	t_is 'a plan writes nothing' "$(R exists n)" 0
}

codes_of_the_journal() {
	R del j >/dev/null
	: >"$t_tmp/file"
	XDG_STATE_HOME=$t_tmp/file o -e 'cache:set("j", 1)'
	exits 'no place for the journal' 74
	tells 'nothing was done' '*nothing was done; set XDG_STATE_HOME*'
	t_is 'nothing was done' "$(R exists j)" 0
	XDG_STATE_HOME=$t_tmp/file o -e 'return cache:exists "j"'
	exits 'a read needs no journal' 0
	with_run 't.cache:set("j", 1)'
	XDG_STATE_HOME=$t_tmp/file o run pb.lua
	exits 'a run needs one' 74
	t_is 'nothing was done' "$(R exists j)" 0
	[ -x "$opsh_test" ] || { t_fail "'$opsh_test' is not built"; return; }
	local opsh=$opsh_test
	OPSH_FAIL=journal_write=5@3 o -e 'cache:set("j", 1)'
	exits 'an intent that can not be written' 74
	t_is 'it was not sent' "$(R exists j)" 0
	OPSH_FAIL=journal_write=5@4 o -e 'cache:set("j", 1)'
	exits 'an outcome that can not be written' 75
	tells 'the outcome is told' '*could not be recorded; this is it: {"type":"outcome"*'
	OPSH_FAIL=journal_write=5@5 o -e 'cache:set("j", 1) cache:set("k", 2)'
	exits 'a second intent that can not be written' 75
	tells 'the first was done' '*nothing more was done*'
	t_is 'the second was not sent' "$(R exists k)" 0
	OPSH_FAIL=journal_write=28@4 o -e 'cache:set("j", 1)'
	exits 'a full disk: the reserve takes the outcome' 0
}

# signalled NUMBER CODE
signalled() {
	local pid
	"$opsh" -e 'cache:set("s", 1) print "ready" io.flush() task.sleep(20)' \
		</dev/null >"$out" 2>"$err" &
	pid=$!
	t_reap "$pid"
	t_ok "$1: starts" t_within 10 grep -q ready "$out"
	kill -"$1" "$pid"
	wait "$pid"
	rc=$?
	exits "signal $1" "$2"
	o timeline last
	says "signal $1: the record has its end" "*end*exit $2*"
	o verify last
	exits "signal $1: the record is whole" 0
}

codes_of_signals() {
	set -m			# else background jobs ignore SIGINT
	signalled HUP 129
	signalled INT 130
	signalled TERM 143
	set +m
	rc=$("$opsh" -e 'for n = 1, 1e9 do print(n) end' 2>"$err" | head -n 1 \
		>"$out"; echo "${PIPESTATUS[0]}")
	exits 'the reader went away' 141
	tells 'and nothing is said' ''
	o -e 'os.exit(7)'
	t_is 'os.exit' "$rc" 7
	o -e 'pcall(os.exit, 7) print "went on"'
	t_is 'os.exit in pcall' "$rc $(cat "$out")" '7 '
}

codes_of_the_record() {
	local dir
	o -e 'cache:set("r", "value-one")'
	o verify last
	exits 'an intact record' 0
	dir=$(printf '%s\n' "$XDG_STATE_HOME"/opsh/runs/*/ | grep -v /heads/ |
		tail -n 1)
	sed -i '3s/value-one/value-two/' "$dir/journal.jsonl"
	o verify last
	exits 'an edited record' 15
	says 'the line is named' '*DAMAGED*line 3 *'
	o --output jsonl verify last
	parses 'an edited record' row
}

# Later parts of opsh bring the rest; what is listed has been shown above.
codes_all() {
	local code
	o --output jsonl help exit-codes
	for code in $(python3 -c '
import json, sys
for line in open(sys.argv[1]): print(json.loads(line)["value"]["code"])' "$out")
	do
		case $code in
		16)	t_is "exit code $code is for later" "$(
				printf '%s\n' $shown | grep -cx "$code")" 0 ;;
		*)	t_ok "exit code $code is shown by a test" grep -qx "$code" \
				<(printf '%s\n' $shown) ;;
		esac
	done
}
