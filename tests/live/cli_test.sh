#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2048,SC2086,SC2154,SC2317 # Lua in quotes, lists
# cli_test.sh: the command line as a person or a script uses it: every exit code,
# every command, --output jsonl, scripts, targets, refusals, places that are not
# there. Owns a throwaway Redis and folder. Exit codes are in cli_codes.sh. Must not
# judge playbooks: run.sh does.
#     cli_test.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
# Built with failpoints.
opsh_test=${OPSH_TEST:-$t_root/build/test/opsh}
out=$t_tmp/out err=$t_tmp/err
shown=			# the exit codes that a test has shown
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state XDG_DATA_HOME=$t_tmp/data HOME=$t_tmp
mkdir "$t_tmp/work"
cd "$t_tmp/work" || exit 1

R() {
	timeout 20 redis-cli -p "$OPSH_REDIS_PORT" "$@"
}

# o ARG...: opsh, its output in $out and $err, its exit code in $rc.
o() {
	timeout -k 1 30 "$opsh" "$@" </dev/null >"$out" 2>"$err"
	rc=$?
}

# exits NAME CODE: $rc is CODE; counts as a test of that code.
exits() {
	shown="$shown $2"
	if [ "$rc" -eq "$2" ]; then
		t_pass
	else
		t_fail "$1" "exit $rc, expected $2: $(cat "$out" "$err")"
	fi
}

# says NAME PATTERN: on stdout. tells: on stderr.
says() {
	t_match "$1" "$(cat "$out")" "$2"
}

tells() {
	t_match "$1" "$(cat "$err")" "$2"
}

# Every line of $out is a JSON object with a type, nothing follows the last.
parses() {
	t_ok "$1: every line parses" python3 -c '
import json, sys
data = open(sys.argv[1], "rb").read()
assert data.endswith(b"\n") or not data, data[-80:]
for line in data.splitlines():
    assert isinstance(json.loads(line)["type"], str), line
types = [json.loads(line)["type"] for line in data.splitlines()]
wanted = sys.argv[2].split()
assert types == wanted, (types, wanted)' "$out" "$2"
}

playbook() {
	cat >pb.lua
	chmod 644 pb.lua
}

# A playbook `x/pb` that needs a cache, with this run(t, p).
with_run() {
	playbook <<-EOT
	return { name = "x/pb", summary = "of a test", needs = { cache = "redis" },
	  params = { n = { type = "integer", default = 1, help = "a number" } },
	  run = function(t, p) $1 end }
	EOT
}

# shellcheck source=cli_codes.sh
. "$t_here/../live/cli_codes.sh"

# --- jsonl ---------------------------------------------------------------------

jsonl() {
	o --output jsonl -e 'return 1, "a", nil, { a = { 1 } }, 2.5'
	parses 'values' 'result result result result result end'
	says 'in order' '*"value":1}*"value":"a"}*"value":null}*{"a":\[1\]}*2.5}*'
	o --output jsonl -e 'print("a", 1) io.write("b") io.write("c\nd\n") print ""'
	parses 'prints' 'print print print end'
	says 'their text' '{"text":"a\\t1",*{"text":"bc\\nd",*{"text":"",*'
	o --output jsonl -e 'return cache:set("bin", "\0\xff\n\u{202e}"), cache:get "bin"'
	parses 'bytes' 'result result end'
	o --output jsonl -e 'show { { a = 1 }, { a = null } } show "x" show(nil)'
	parses 'show' 'result result result end'
	o --output jsonl -e 'error "x"'
	parses 'an error' 'error end'
	says 'its place' '*"message":"-e:1: x"*"exit":1,*'
	for code in 'error { 1 }' 'error(nil)' 'error(print)' 'cache:nope()' \
		'cache:flushdb()' 'local t = {} t.t = t error(t)' 'x.y.z = 1' \
		'error(setmetatable({}, { __tostring = function() error "a" end }))' \
		'error(setmetatable({}, { __pairs = function() error "a" end }))'; do
		o --output jsonl -e "$code"
		parses "$code" 'error end'
		t_ok "$code: fails" test "$rc" -ne 0
	done
	for code in 'print' '{ print, cache }' '{ [1.5] = 1, [true] = 2 }' '0/0' \
		'{ 1, nil, 3 }' 'setmetatable({}, { __tostring = function()
		return "\xff" end })' 'secret.env "HOME"' '("x"):rep(1e6)' \
		'cache "COMMAND INFO get"' 'cache:hgetall "nope"'; do
		o --output jsonl -e "return $code"
		parses "$code" 'result end'
	done
	o --output jsonl -e 'local t = {} for n = 1, 200 do t = { t } end return t'
	parses 'deep' 'result end'
	o --output jsonl nope
	parses 'no such command' error
	o --output jsonl run
	parses 'no playbook' error
	o --output jsonl -e 'f('
	parses 'syntax' error
	o --output jsonl help
	parses 'help' text
	o --output jsonl --version
	parses 'the version' text
	o --output jsonl --approve local -e 'os.execute "echo raw"'
	parses 'a child that writes' 'result result result end'
	tells 'which is on stderr' 'raw'
	with_run 'step("a", function() t.cache:set("a", 1) end) print "x" return 2'
	o --output jsonl run pb.lua
	parses 'a run' 'step step print result end'
	o --output jsonl plan pb.lua
	parses 'a plan' 'step step print result row end'
	set -m
	"$opsh" --output jsonl -e 'print "ready" io.flush() task.sleep(20)' \
		</dev/null >"$out" 2>"$err" &
	t_reap $!
	t_ok 'jsonl starts' t_within 10 grep -q ready "$out"
	kill -INT $!
	wait $!
	t_is 'Ctrl-C in jsonl' $? 130
	set +m
	parses 'Ctrl-C' 'print error end'
	for args in list targets 'doc pb.lua' 'check pb.lua' runs 'timeline last' \
		'verify last' 'help exit-codes' 'targets --connect'; do
		# shellcheck disable=SC2086 # a command and its argument
		o --output jsonl $args
		t_ok "$args: rows" python3 -c '
import json, sys
for line in open(sys.argv[1]):
    assert json.loads(line)["type"] == "row", line' "$out"
	done
}

# --- words that are not known ---------------------------------------------------

words() {
	o lst
	exits 'unknown command' 2
	tells 'a suggestion' "*unknown command 'lst' (did you mean 'list'?)*"
	o --outptu jsonl
	tells 'an option' "*unknown option '--outptu' (did you mean '--output'?)*"
	o runs --lsat 3
	tells 'of a command' "*(did you mean '--last'?)*"
	o --output xml -e 1
	tells 'a choice' "*expected one of text, jsonl, got 'xml'*"
	o -e
	tells 'a value that lacks' "*option '-e' needs a value*"
	o --targets a --targets b targets
	tells 'given twice' "*'--targets' is given twice*"
	o --approve nope -e 'cache:get "a"'
	exits 'an approval of nothing' 2
	o help runn
	tells 'help' "*no help on 'runn' (did you mean 'run'?)*"
	o
	exits 'nothing to do' 0
	mkdir -p playbooks/redis
	with_run 'return 1'
	sed 's,x/pb,redis/warm,' pb.lua >playbooks/redis/warm.lua
	o run redis/wram
	exits 'unknown playbook' 2
	tells 'a playbook' "*no playbook 'redis/wram' (did you mean 'redis/warm'?)*"
	o run redis/warm m=3
	tells 'a parameter' "*unknown parameter 'm'*"
	o run redis/warm cache=x
	exits 'a target is no parameter' 2
}

# --- scripts and expressions ----------------------------------------------------

scripts() {
	o -e '1 + 1'
	says 'an expression' 2
	o -e 'local a = 1; print(a + 1)'
	says 'a statement' 2
	o -e 'return 1, 2'
	says 'two values' '1
2'
	o -e 'a = 1' -e 'print(a)'
	says 'two pieces' 1
	o plan --detailed-exitcode -e 'cache:set("planned", (...))' 7
	exits 'plan -e plans' 10
	says 'what it would write' '*SET planned 7*'
	o -e 'cache:exists "planned"'
	says 'nothing is written' 0
	o verify -e 'cache:set("planned", 1)'
	exits '-e with a command that takes none' 2
	tells 'says so' "*'verify' takes no -e*"
	o -e 'print(...)' one two
	says 'arguments' 'one	two'
	o -e 'io.write "x\n"'
	says 'what io.write gives is not shown' x
	o -e ''
	exits 'nothing' 0
	echo 'print(2 + 3)' >in.lua
	timeout 10 "$opsh" <in.lua >"$out" 2>"$err"
	rc=$?
	exits 'standard input' 0
	says 'standard input' 5
	echo 'x = = 1' | timeout 10 "$opsh" >"$out" 2>"$err"
	rc=$?
	exits 'standard input, syntax' 2
	tells 'standard input, place' '*stdin:1:*'
	printf '#!/usr/bin/env opsh\nprint("args", ...)\ncache:set("script", 1)\n' \
		>script.lua
	o run script.lua a b=c
	exits 'a script' 0
	says 'a script and its arguments' 'args	a	b=c'
	t_is 'a script writes' "$(R get script)" 1
	o plan script.lua
	exits 'a plan of a script' 0
	says 'lists what it would write' '*SET script 1*'
	o check script.lua
	exits 'a script is checked' 0
	o -e 'require "run.session"'
	exits 'private modules are not there' 2
	o -e 'return debug.getregistry, package.loadlib, io.popen ~= nil, dofile ~= nil'
	says 'nor the registry' 'true
true'
	echo 'return 40 + 2' >part.lua
	o -e 'return dofile "part.lua"'
	says 'dofile' 42
	o -e 'local f = function() return nope.x end f()'
	exits 'an error of Lua' 1
	tells 'is one line' "opsh: lua: -e:1: attempt to index a nil value (global 'nope')*"
}

# --- targets -------------------------------------------------------------------

targets() {
	local file=$t_tmp/stack/opsh.lua url=$OPSH_REDIS_URL
	o --targets "$file" -e 'return cache "PING"'
	says '--targets' PONG
	o -e 'return cache "PING"'
	says 'OPSH_TARGETS' PONG
	(
		unset OPSH_TARGETS
		o -e 'return cache'
		exits 'no target' 0
		o --target "cache=$url" -e 'return cache "PING"'
		says '--target' PONG
		cp "$file" opsh.lua
		o -e 'return cache "PING"'
		says 'opsh.lua beside you' PONG
		rm opsh.lua
		with_run 'return t.cache "PING"'
		o run pb.lua --target "other=$url"
		exits 'a need without a target' 2
		tells 'a hint' '*--bind cache=other*'
		o run pb.lua --target "other=$url" --bind cache=other
		says '--bind' PONG
		o run pb.lua --target "other=$url" --bind cach=other
		exits '--bind of nothing' 2
		tells 'a need' "*(did you mean 'cache'?)*"
		o run pb.lua --target "cache=http://127.0.0.1"
		exits 'another kind' 2
		echo "$t_passed $t_failed" >"$t_tmp/sum"
	)
	read -r t_passed t_failed <"$t_tmp/sum"
	o --targets nope.lua targets
	exits 'no such file' 2
	o --target 'x=foo://h' targets
	exits 'unknown scheme' 2
	tells 'the known ones' "*unknown scheme 'foo' (known:*rediss*"
	o targets
	says 'the list' "*cache *redis *$OPSH_REDIS_PORT*cache_sock*"
	t_is 'no password in it' "$(grep -c "$OPSH_REDIS_OPS_PASSWORD" "$out")" 0
	o targets --connect
	exits 'all answer' 0
	says 'who they are' '*master *ok *run_id=*'
	o --target gone=redis://127.0.0.1:1 targets --connect
	exits 'one does not' 4
	says 'which' '*gone *refused*'
}

misuse() {
	o --target d=postgresql://127.0.0.1:1/x -e 'd:query(42)'
	exits 'a wrong type' 1
	tells 'is told with the place of the user' "*lua: -e:1: bad argument*query*"
}

protected() {
	cat >protected.lua <<-EOT
	return { environment = "production", protected = true,
	  targets = { cache = { kind = "redis", url = "$OPSH_REDIS_URL" } } }
	EOT
	R set p old >/dev/null
	o --targets protected.lua -e 'cache:set("p", "new")'
	exits 'read mode' 3
	tells 'the flag is named' '*read mode*--write*'
	t_is 'nothing was written' "$(R get p)" old
	o --targets protected.lua -e 'return cache:get "p"'
	says 'reads are free' old
	o --targets protected.lua -e 'guard(cache, { verb = "flushdb", count = 1 })'
	exits 'a guard in read mode asks nobody' 3
	o --targets protected.lua --write -e 'cache:set("p", "new")'
	exits '--write' 0
	t_is 'written' "$(R get p)" new
	o --targets protected.lua --approve local -e 'os.remove "pb.lua"'
	exits 'the machine is one as well' 3
	o --targets protected.lua --approve local -e 'os.execute "true"'
	exits 'and its programs' 3
	o --targets protected.lua -e 'sh.run { "touch", "made" }'
	exits 'run by sh' 3
	o --targets protected.lua -e 'require("opsh.fs").write("made", "x")'
	exits 'and its files' 3
	t_ok 'nothing was made' test ! -e made
}

refused() {
	with_run 'return 1'
	chmod o+w pb.lua
	for command in run plan check doc; do
		o "$command" pb.lua
		exits "$command: a file that all can write" 2
		tells "$command: why" "*refusing 'pb.lua': everybody can write it*chmod*"
	done
	chmod o-w pb.lua
	mkdir -p open
	cp pb.lua open
	chmod 777 open
	o run open/pb.lua
	exits 'a folder that all can write' 2
	tells 'why' "*everybody can write its folder*"
	cp "$OPSH_TARGETS" all.lua
	chmod 666 all.lua
	o --targets all.lua targets
	exits 'a targets file that all can write' 2
	o --targets "$t_tmp" targets
	exits 'a folder as targets file' 2
	cat >secret.lua <<-EOT
	return { targets = { cache = { kind = "redis", url = "$OPSH_REDIS_URL",
	  password = secret.file "$t_tmp/password" } } }
	EOT
	echo 'a-password-of-old' >"$t_tmp/password"
	chmod 644 "$t_tmp/password"
	o --targets secret.lua -e 'cache:ping()'
	exits 'a secret that all can read' 2
	tells 'how to mend it' '*chmod o-r*'
}

# --- commands ------------------------------------------------------------------

commands() {
	o new playbooks/redis/one.lua --needs cache=redis
	exits 'new' 0
	says 'new: where' '*wrote playbooks/redis/one.lua*'
	o new playbooks/redis/one.lua
	exits 'new: never overwrites' 2
	o new one
	exits 'new: a path without a domain' 2
	o new /proc/nope/x/y.lua
	exits 'new: a place that is not there' 1
	o check redis/one
	exits 'check' 0
	tells 'check: says so' '1 checked, 0 errors, 0 warnings'
	o list 'one line'
	says 'list' '*redis/one *cache *One line*(1 row)'
	o list
	says 'list: all' '*redis/one*'
	o doc redis/one
	says 'doc' '*redis/one: One line*targets*cache *redis*parameters*limit *integer*'
	o plan redis/one limit=3
	exits 'plan' 0
	tells 'plan: nothing' '*plan: nothing to write*'
	o run redis/one limit=3
	exits 'run' 0
	tells 'run: steps and the end' '*ok  count*ok  act*run * exit 0 *journal *'
	o run redis/one limit=3 --quiet
	t_is 'run: quiet' "$(grep -c journal "$err")" 0
	o runs
	says 'runs' '*write *redis/one *exit 0*'
	o runs --last 1
	says 'runs: the last' '*(1 row)'
	o runs --last 0
	exits 'runs: none' 2
	o timeline last
	says 'timeline' '*run *step *begin*count*done*end*exit 0*'
	o timeline
	exits 'timeline: of which' 2
	o timeline NOPE
	exits 'timeline: no such run' 2
	o help
	says 'help' '*usage: opsh*commands:*  run *topics*exit-codes*'
	o help run
	says 'help: a command' '*usage: opsh run PLAYBOOK*--undo*'
	o run --help
	says 'help: the option' '*usage: opsh run PLAYBOOK*'
	o -h
	says 'help: the letter' '*usage: opsh*'
	o --version
	says 'version' 'opsh [0-9]*.[0-9]*'
	for topic in $(o help; sed -n 's/^topics.*: //p' "$out" | tr -d ,); do
		o help "$topic"
		exits "help $topic" 0
		t_ok "help $topic: some lines" test "$(wc -l <"$out")" -gt 5
	done
	echo 'return { name = "x/broken" }' >playbooks/redis/broken.lua
	o list
	exits 'list: one is broken' 0
	tells 'list: which' '*left out: *broken.lua*'
	o check redis/broken
	exits 'check: broken' 2
	rm playbooks/redis/broken.lua
	printf 'return {\n name = "x/pb", summary = "s",\n run = function(t)\n%s' \
		'  prnt(1)
 end }
' >bad.lua
	o check bad.lua
	exits 'check: an unknown name' 2
	says 'check: its line' '*bad.lua:4:*prnt*'
}

# --- places that are not there ---------------------------------------------------

places() {
	local fresh=$t_tmp/fresh
	(
		unset HOME XDG_STATE_HOME XDG_DATA_HOME
		o -e 'return cache:exists "home"'
		exits 'no HOME: a read' 0
		o -e 'cache:set("home", 1)'
		exits 'no HOME: a write' 74
		tells 'no HOME: why' '*neither XDG_STATE_HOME nor HOME is set*'
		o runs
		exits 'no HOME: no runs' 2
		o list
		exits 'no HOME: list' 0
		echo "$t_passed $t_failed" >"$t_tmp/sum"
	)
	read -r t_passed t_failed <"$t_tmp/sum"
	t_is 'nothing was written' "$(R exists home)" 0
	XDG_STATE_HOME=$fresh o runs
	exits 'no run yet' 0
	XDG_STATE_HOME=$fresh o verify last
	exits 'nothing to verify' 2
	t_ok 'looking makes no folder' test ! -e "$fresh"
	XDG_STATE_HOME=$fresh o -e 'return 1'
	t_ok 'nor does a value' test ! -e "$fresh"
	XDG_STATE_HOME=$fresh o -e 'cache:set("a", 1)'
	exits 'the first write makes it' 0
	t_is 'nobody else reads it' "$(find "$fresh" -perm /077)" ''
	XDG_STATE_HOME=relative HOME=$fresh/home o -e 'cache:set("a", 1)'
	exits 'a relative one is not taken' 0
	t_ok 'HOME is' test -d "$fresh/home/.local/state/opsh/runs"
}

two_at_once() {
	local one two
	with_run 'for n = 1, 200 do t.cache:incr "both" end return t.cache:get "both"'
	R del both >/dev/null
	"$opsh" run pb.lua >"$t_tmp/one" 2>&1 </dev/null &
	one=$!
	"$opsh" run pb.lua >"$t_tmp/two" 2>&1 </dev/null &
	two=$!
	wait "$one"
	t_is 'the first of two' $? 0
	wait "$two"
	t_is 'the second of two' $? 0
	t_is 'both wrote' "$(R get both)" 400
	for log in one two; do
		run=$(sed -n 's/^run \([0-9A-Z]*\): exit 0.*/\1/p' "$t_tmp/$log")
		o verify "$run"
		exits "verify $log" 0
		says "whole: $log" '*intact, from the first record to the end*'
	done
}

t_up redis
# Playbooks are looked for beside the targets file.
cp "$OPSH_TARGETS" "$PWD/targets.lua"
export OPSH_TARGETS=$PWD/targets.lua
for group in ${*:-codes_of_a_run codes_of_targets codes_of_a_change \
	codes_of_doubt codes_of_a_lock codes_of_a_plan codes_of_the_journal \
	codes_of_signals \
	codes_of_the_record codes_all jsonl words scripts targets protected \
	misuse refused commands places two_at_once}
do
	"$group"
done
t_done
