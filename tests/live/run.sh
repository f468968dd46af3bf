#!/usr/bin/env bash
# shellcheck disable=SC2154,SC2317 # names of test.sh; functions called by name
# run.sh: what the flush of a flight cache promises, shown on real servers: which
# keys go and how fast, what a kill leaves, that a plan writes nothing, who is
# refused and when, that a doubt stays a doubt, that no secret and no escape
# sequence gets out, that a damaged record is found. Owns throwaway servers and
# folders only.
#     run.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
live=$t_here/../live/live.py
proxy=$t_here/../fault/proxy.py
flush="redis/cache-flush pattern=flights::*"
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
unset CI OPSH_LOG NO_COLOR
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp PYTHONDONTWRITEBYTECODE=1

R() {
	timeout 20 redis-cli -p "$OPSH_REDIS_PORT" "$@"
}

# o ARG...: opsh, its output in $out and $err, its exit code in $rc.
o() {
	timeout -k 1 120 "$opsh" "$@" </dev/null >"$out" 2>"$err"
	rc=$?
}

# now: seconds, with a point.
now() {
	date +%s.%N
}

took() {
	awk -v a="$1" -v b="$(now)" 'BEGIN { print b - a }'
}

below() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

between() {
	awk -v a="$1" -v lo="$2" -v hi="$3" 'BEGIN { exit !(a >= lo && a <= hi) }'
}

# The folder of the newest run.
last_run() {
	local dirs=("$XDG_STATE_HOME"/opsh/runs/*/)
	printf '%s' "${dirs[-1]%/}"
}

load() {
	"$t_tmp/load" "$OPSH_REDIS_PORT" "$@" || exit 1
}

flights() {
	R --scan --pattern 'flights::*' | sort -u | wc -l
}

# An empty server that looks like a cache.
fresh() {
	R flushall >/dev/null
	R replicaof no one >/dev/null
	R config set maxmemory 900mb maxmemory-policy allkeys-lru >/dev/null
	R config resetstat >/dev/null
}

# --- which keys, how fast ----------------------------------------------------
exactly_these() {
	local others rate
	fresh
	load other: 990000 8 36000
	others=$(R debug digest)
	load flights::UAL 10000 8 3600
	# shellcheck disable=SC2086 # words on purpose
	o run $flush rate=4000 --approve cache
	t_is 'flush of 10,000 of 1,000,000 keys: exit' "$rc" 0
	t_is 'none matches' "$(flights)" 0
	t_is 'the others are there' "$(R dbsize)" 990000
	t_is 'and as they were' "$(R debug digest)" "$others"
	t_match 'result says so' "$(tr -s ' ' <"$out")" '*removed 10000*'
	rate=$("$live" rate "$(last_run)/journal.jsonl")
	t_ok "rate within 10 % of 4000: $rate" between "$rate" 3600 4400
	t_ok 'its record is intact' "$opsh" verify last
	killed "$others"
}

# Here, for the million keys are loaded.
killed() {
	local pid left
	load flights::UAL 10000 8 3600
	# shellcheck disable=SC2086
	"$opsh" run $flush rate=4000 --approve cache </dev/null >"$out" 2>&1 &
	pid=$!
	t_reap "$pid"
	t_ok 'the flush is in the middle' t_within 20 half_gone
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	left=$(flights)
	t_ok "killed in the middle: $left left" between "$left" 1 9999
	o verify last
	t_is 'verify of a killed run: exit' "$rc" 15
	# shellcheck disable=SC2086
	o run $flush rate=20000 --approve cache
	t_is 'second run: exit' "$rc" 0
	t_is 'none matches after it' "$(flights)" 0
	t_is 'all others as they were' "$(R debug digest)" "$1"
}

half_gone() {
	[ "$(R dbsize)" -lt 996000 ]
}

one_and_none() {
	fresh
	load flights::UAL 3 8 3600
	o run redis/cache-flush key=flights::UAL1 --approve cache
	t_is 'one key: exit' "$rc" 0
	t_is 'one key: gone' "$(R exists flights::UAL0 flights::UAL1 \
		flights::UAL2)" 2
	o run redis/cache-flush 'pattern=nothing*'
	t_is 'nothing matches: exit' "$rc" 0
	o run redis/cache-flush
	t_is 'neither pattern nor key: exit' "$rc" 3
	o run redis/cache-flush 'pattern=a*' key=b --approve cache
	t_is 'pattern and key: exit' "$rc" 3
	t_is 'nothing else gone' "$(R dbsize)" 2
}

written_meanwhile() {
	local writer
	fresh
	load flights::UAL 4000 8 3600
	(while sleep 0.05; do
		R mset flights::NEW1 x flights::UAL0 x >/dev/null
	done) &
	writer=$!
	t_reap "$writer"
	# shellcheck disable=SC2086
	o run $flush rate=4000 --approve cache
	t_is 'keys written meanwhile: exit' "$rc" 0
	t_match 'and told apart' "$(tr -s ' ' <"$out")" \
		'*written_meanwhile [12]*'
	kill "$writer"
	wait "$writer" 2>/dev/null
}

# --- a plan ------------------------------------------------------------------------
plan_writes_nothing() {
	local monitor name writes=
	fresh
	load flights::UAL 3000 8 36000
	load other: 2000 8 36000
	timeout 60 redis-cli -p "$OPSH_REDIS_PORT" monitor >"$t_tmp/seen" &
	monitor=$!
	t_reap "$monitor"
	t_ok 'monitor is on' t_within 5 grep -q OK "$t_tmp/seen"
	# shellcheck disable=SC2086
	o plan $flush rate=4000 --output jsonl
	t_is 'plan: exit' "$rc" 0
	R echo end-of-plan >/dev/null
	t_ok 'monitor saw the end' t_within 5 grep -q end-of-plan \
		"$t_tmp/seen"
	kill "$monitor"
	for name in $("$live" commands "$t_tmp/seen"); do
		# these two change nothing that outlives the connection
		[ "$name" != ROLE ] && [ "$name" != 'CLIENT|SETNAME' ] || continue
		case " $(R command info "$name" | tr '\n' ' ') " in
		*' readonly '*) ;;
		*' write '*|*' admin '*) writes="$writes $name" ;;
		esac
	done
	t_is 'MONITOR shows no write' "$writes" ''
	t_match 'but what it read' "$(cat "$t_tmp/seen")" '*"SCAN"*"TTL"*'
	t_is 'plan: all is there' "$(R dbsize)" 5000
	"$live" requests withheld "$(last_run)/journal.jsonl" >"$t_tmp/plan"
	t_is 'plan: rows shown' "$(grep -c '"type":"row"' "$out")" \
		"$(grep -c . "$t_tmp/plan")"
	# shellcheck disable=SC2086
	o plan $flush --detailed-exitcode
	t_is 'plan --detailed-exitcode' "$rc" 10
	# shellcheck disable=SC2086
	o run $flush rate=4000 --approve cache
	"$live" requests intent "$(last_run)/journal.jsonl" >"$t_tmp/run"
	t_ok 'what the plan lists is what the run sent' \
		cmp "$t_tmp/plan" "$t_tmp/run"
	t_ok 'which is not nothing' test -s "$t_tmp/run"
}

# --- who may ---------------------------------------------------------------------------
# refused NAME: judges $rc, $err and the time since $began.
refused() {
	local seconds
	seconds=$(took "$began")
	t_is "$1: exit" "$rc" 14
	t_ok "$1: within a second ($seconds)" below "$seconds" 1
	t_match "$1: names the flag" "$(cat "$err")" '*--approve cache*'
	t_is "$1: nothing written" "$(R dbsize)" 500
}

nobody_there() {
	local began
	fresh
	load flights::UAL 500 8 3600
	began=$(now)
	# shellcheck disable=SC2086
	"$opsh" run $flush <&- >"$out" 2>"$err"
	rc=$?
	refused 'closed stdin'
	began=$(now)
	# shellcheck disable=SC2086
	yes | "$opsh" run $flush >"$out" 2>"$err"
	rc=${PIPESTATUS[1]}
	refused 'piped y'
	began=$(now)
	# shellcheck disable=SC2086
	CI=1 "$live" pty - "$opsh" run $flush >"$out"
	rc=$?
	cp "$out" "$err"
	refused 'CI=1 on a terminal'
	t_is 'no unlink came' "$(R info commandstats | grep -ci unlink)" 0
	# shellcheck disable=SC2086
	o run $flush --approve other
	t_is '--approve of another target' "$rc" 2
}

somebody_there() {
	fresh
	load flights::UAL 500 8 3600
	# shellcheck disable=SC2086
	"$live" pty y "$opsh" run $flush >"$out"
	t_is "typed 'y': exit" $? 14
	t_is "typed 'y': nothing gone" "$(flights)" 500
	# shellcheck disable=SC2086
	"$live" pty 500 "$opsh" run $flush >"$out"
	t_is 'typed the count: exit' $? 0
	t_is 'typed the count: gone' "$(flights)" 0
}

progress_seen() {
	fresh
	load flights::UAL 6000 8 3600
	# shellcheck disable=SC2086
	"$live" pty 6000 "$opsh" run $flush rate=3000 >"$out"
	t_is 'flush on a terminal: exit' $? 0
	t_ok 'progress is seen' grep -Eqa 'unlink: [1-5],[0-9]{3}/6,000' "$out"
	t_ok 'rate is seen' grep -Eqa '[0-9],[0-9]{3}/s' "$out"
	t_ok 'ETA is seen' grep -Eqa 'ETA [0-9]+s' "$out"
}

not_a_cache() {
	fresh
	load flights::UAL 300 8 3600
	load kept: 100 8 0
	# shellcheck disable=SC2086
	o run $flush --approve cache
	t_is 'a quarter without TTL: exit' "$rc" 3
	t_match 'and says what to give' "$(cat "$err")" '*accept_no_ttl=25*'
	# shellcheck disable=SC2086
	o run $flush accept_no_ttl=40 --approve cache
	t_is 'another share: exit' "$rc" 3
	t_is 'nothing gone' "$(R dbsize)" 400
	R config set maxmemory-policy noeviction >/dev/null
	# shellcheck disable=SC2086
	o plan $flush
	t_is 'a plan goes on: exit' "$rc" 0
	# shellcheck disable=SC2086
	"$live" pty 300 "$opsh" run $flush >"$out"
	t_is 'typed the count alone: exit' $? 14
	# shellcheck disable=SC2086
	"$live" pty '300 25%' "$opsh" run $flush >"$out"
	t_is 'typed count and share: exit' $? 0
	t_is 'flights gone' "$(flights)" 0
	load lock:seat 50 8 60
	R config set maxmemory-policy allkeys-lru >/dev/null
	o run redis/cache-flush 'pattern=lock:*' accept_no_ttl=67 --approve cache
	t_is 'locks with the share: exit' "$rc" 0
}

whole() {
	fresh
	load any: 1000 8 600
	o run redis/cache-flush whole=true --approve cache
	t_is 'whole without db: exit' "$rc" 3
	o run redis/cache-flush whole=true db=5 --approve cache
	t_is 'whole with another db: exit' "$rc" 3
	t_is 'all is there' "$(R dbsize)" 1000
	R config set save '3600 1' >/dev/null
	o plan redis/cache-flush whole=true all=true
	t_is 'plan of FLUSHALL: exit' "$rc" 0
	t_match 'lists the copy and the save points' "$(cat "$out")" \
		'*BGSAVE*CONFIG SET save*FLUSHALL ASYNC*CONFIG SET save*'
	o run redis/cache-flush whole=true db=0 --approve cache
	t_is 'whole: exit' "$rc" 0
	t_is 'whole: empty' "$(R dbsize)" 0
	t_ok 'whole: the copy is there' test -s \
		"$(sed -n 's/^copy *//p' "$out")"
	R -n 3 set in-three x ex 60 >/dev/null
	load any: 100 8 600
	o run redis/cache-flush whole=true all=true --approve cache
	t_is 'all: exit' "$rc" 0
	t_is 'all: empty' "$(R info keyspace | grep -c ^db)" 0
	t_match 'all: save points are back' "$(R config get save)" '*3600 1'
	R config set save '' >/dev/null
}

# --- demoted, lost -------------------------------------------------------------------------
demoted() {
	local pid other
	fresh
	load flights::UAL 8000 8 3600
	"$t_stack" up "$t_tmp/stack2" redis || exit 1
	other=$("$t_stack" env "$t_tmp/stack2" |
		sed -n "s/.*OPSH_REDIS_PORT='*\([0-9]*\).*/\1/p")
	# shellcheck disable=SC2086
	"$opsh" run $flush rate=2000 --approve cache </dev/null >"$out" \
		2>"$err" &
	pid=$!
	t_reap "$pid"
	t_ok 'the flush is on its way' t_within 10 eval \
		'[ "$(R dbsize)" -lt 7000 ]'
	R replicaof 127.0.0.1 "$other" >/dev/null
	wait "$pid"
	t_is 'demoted between two batches: exit' $? 12
	t_match 'says what it was' "$(cat "$err")" '*is not what it was*'
	t_is 'no write came to the demoted node' \
		"$(R info errorstats | grep -c READONLY)" 0
	t_is 'what was sent is on record' "$(R info commandstats |
		sed -n 's/^cmdstat_unlink:calls=\([0-9]*\).*/\1/p')" \
		"$("$live" requests intent "$(last_run)/journal.jsonl" |
		grep -c UNLINK)"
	R replicaof no one >/dev/null
	"$t_stack" down "$t_tmp/stack2"
}

proxied() {
	rm -f "$t_tmp/ctl" "$t_tmp/proxy.port"
	"$proxy" --to "127.0.0.1:$OPSH_REDIS_PORT" --control "$t_tmp/ctl" \
		--mode "$1" >"$t_tmp/proxy.port" &
	proxy_pid=$!
	t_reap "$proxy_pid"
	t_ok 'proxy is up' t_within 5 test -s "$t_tmp/proxy.port"
	proxy_port=$(head -1 "$t_tmp/proxy.port")
}

reply_lost() {
	local n bad=0 code=
	fresh
	proxied 'drop-reply match=^INCR times=0'
	for n in $(seq 100); do
		o -e 'cache:incr "seats"' \
			--target "cache=redis://127.0.0.1:$proxy_port"
		[ "$rc" -eq 13 ] && grep -q unknown "$err" &&
			[ "$(R get seats)" -eq "$n" ] || bad=$((bad + 1)) code=$rc
	done
	t_is "INCR cut 100 times: exit 13 and +1 each (last odd exit $code)" \
		"$bad" 0
	kill "$proxy_pid"
	load any: 1000 8 600
	proxied 'drop-reply match=^FLUSHDB'
	o run redis/cache-flush whole=true db=0 no_copy=true --approve cache \
		--target "cache=redis://127.0.0.1:$proxy_port/0"
	t_is 'reply of FLUSHDB lost, probe settles it: exit' "$rc" 0
	t_is 'flushed once' "$(R info commandstats |
		sed -n 's/^cmdstat_flushdb:calls=\([0-9]*\).*/\1/p')" 1
	t_match 'the doubt is on record' "$(cat "$(last_run)/journal.jsonl")" \
		'*"outcome":"unknown"*"type":"probe"*'
	kill "$proxy_pid"
}

# --- what must not get out -----------------------------------------------------------------
password_hidden() {
	local secret='zK9"x\q/ü&p@S%41+=w' form n=0 watcher
	fresh
	R acl setuser clerk on ">$secret" '~*' '+@all' >/dev/null
	load flights::UAL 1500 8 3600
	printf '%s' "$secret" | "$live" forms >"$t_tmp/forms"
	printf '%s' "$secret" >"$t_tmp/secret"
	chmod 600 "$t_tmp/secret"
	# a server that sends it back, in each form
	while IFS= read -r form; do
		n=$((n + 1))
		R set "echo:$n" "say $form !" ex 600 >/dev/null
	done <"$t_tmp/forms"
	cat >"$t_tmp/opsh.lua" <<-EOF
		return { targets = {
		  cache = { kind = "redis", user = "clerk", role = "master",
		    url = "redis://127.0.0.1:$OPSH_REDIS_PORT",
		    password = secret.file "$t_tmp/secret" },
		  wrong = { kind = "redis", user = "nobody",
		    url = "redis://127.0.0.1:$OPSH_REDIS_PORT",
		    password = secret.file "$t_tmp/secret" },
		  byurl = "redis://clerk:$(python3 -c 'import sys,urllib.parse
		print(urllib.parse.quote(sys.argv[1], safe=""), end="")' \
			"$secret" | sed 's/%/%/g')@127.0.0.1:$OPSH_REDIS_PORT",
		} }
	EOF
	mkdir "$t_tmp/said"
	(while :; do cat /proc/[0-9]*/cmdline; done >"$t_tmp/said/cmdline" \
		2>/dev/null) &
	watcher=$!
	t_reap "$watcher"
	(
		XDG_STATE_HOME=$t_tmp/said/state
		export OPSH_TARGETS=$t_tmp/opsh.lua
		# shellcheck disable=SC2086
		o run $flush rate=1500 --approve cache
		cp "$out" "$t_tmp/said/1" && cp "$err" "$t_tmp/said/2"
		echo "$rc" >"$t_tmp/codes"
		o -e 'for k in cache:scan { match = "echo:*" } do
			print(k, cache:get(k)) log.info("%s", cache:get(k)) end
			show(cache:mget "echo:1") print(json.encode { cache:get "echo:2" })
			cache:set("back", cache:get "echo:1")
			error(cache:get "echo:1")'
		cp "$out" "$t_tmp/said/3" && cp "$err" "$t_tmp/said/4"
		echo "$rc" >>"$t_tmp/codes"
		o -e 'wrong:ping()'
		cp "$out" "$t_tmp/said/5" && cp "$err" "$t_tmp/said/6"
		echo "$rc" >>"$t_tmp/codes"
		o --output jsonl -e 'byurl:mget("echo:1", "echo:2", "echo:3")'
		cp "$out" "$t_tmp/said/7" && cp "$err" "$t_tmp/said/8"
		echo "$rc" >>"$t_tmp/codes"
		o targets --connect
		cp "$out" "$t_tmp/said/9" && cp "$err" "$t_tmp/said/10"
	)
	kill "$watcher"
	wait "$watcher" 2>/dev/null
	t_is 'with a password: exits' "$(tr '\n' ' ' <"$t_tmp/codes")" \
		'0 1 3 0 '
	t_ok 'something was printed' grep -q 'say' "$t_tmp/said/3"
	t_ok 'the command lines were read' grep -qa 'cache-flush' \
		"$t_tmp/said/cmdline"
	t_ok 'the record was written' grep -rq UNLINK "$t_tmp/said/state"
	t_ok 'the password is in none of it' "$live" leaks "$t_tmp/forms" \
		"$t_tmp/said"
}

escapes_hidden() {
	fresh
	load flights::UAL 200 8 3600
	printf '%s\n' 'SET "flights::\x1b]0;pwned\x07\x1b[31mred" x EX 600' \
		'SET "flights::\xc2\x9b31mcsi\r\nforged" x EX 600' | R >/dev/null
	"$live" pty - "$opsh" plan redis/cache-flush 'pattern=flights::?]0*' \
		>"$out"
	t_ok 'the name is shown' grep -qa pwned "$out"
	t_ok 'without its title sequence' not grep -qaF $'\033]0;' "$out"
	t_ok 'without its bell' not grep -qaF $'\a' "$out"
	t_ok 'without its colour' not grep -qaF $'\033[31mred' "$out"
	"$live" pty - "$opsh" -e \
		'for k in cache:scan { match = "flights::[^U]*" } do print(k) end' \
		>"$out"
	t_ok 'print: the name is shown' grep -qa csi "$out"
	t_ok 'print: no C1 control' not grep -qaF $'\302\23331m' "$out"
	t_ok 'print: no escape' not grep -qaF $'\033]0;' "$out"
	# shellcheck disable=SC2086
	"$live" pty 202 "$opsh" run $flush >"$out"
	t_is 'flush with such keys: exit' $? 0
	t_is 'they are gone too' "$(R dbsize)" 0
	t_ok 'flush: no escape' not grep -qaF $'\033]0;' "$out"
}

not() {
	! "$@"
}

# --- before the first connection ------------------------------------------------------------
# wrong NAME LINE CODE: the file is refused at LINE; nobody was called.
wrong() {
	local before
	before=$(R info stats | sed -n 's/^total_connections_received:\([0-9]*\).*/\1/p')
	o run "$t_tmp/bad.lua" ${4:+"$4"} --approve cache
	t_is "$1: exit" "$rc" "$3"
	[ "$2" = - ] || t_match "$1: file and line" "$(cat "$err")" \
		"*bad.lua:$2:*"
	t_is "$1: no connection" "$(R info stats |
		sed -n 's/^total_connections_received:\([0-9]*\).*/\1/p')" \
		$((before + 1))
}

refused_at_once() {
	local head='name = "a/b", summary = "s", needs = { cache = "redis" },'
	fresh
	printf 'return { %s\n run = function(t)\n  t.cache:ping()\n  stepp("x")\n end }\n' \
		"$head" >"$t_tmp/bad.lua"
	wrong 'misspelt global' 4 2
	printf 'return { %s\n sevrity = "P1",\n run = function() end }\n' \
		"$head" >"$t_tmp/bad.lua"
	wrong 'unknown field' 2 2
	printf 'return { %s\n params = { n = { type = "integr" } },\n run = print }\n' \
		"$head" >"$t_tmp/bad.lua"
	wrong 'unknown type of a parameter' 2 2
	printf 'return { %s\n params = { n = { type = "integer" } },\n run = print }\n' \
		"$head" >"$t_tmp/bad.lua"
	wrong 'wrong type of a value' - 2 n=ten
	t_match 'and says which' "$(cat "$err")" "*parameter 'n'*integer*"
	printf 'return { %s\n run = function(\n' "$head" >"$t_tmp/bad.lua"
	wrong 'syntax' 3 2
}

# --- the record ----------------------------------------------------------------------------------
record_damaged() {
	local run judged
	fresh
	load flights::UAL 1 8 3600
	o run redis/cache-flush key=flights::UAL0 --approve cache
	t_is 'small run: exit' "$rc" 0
	run=$(last_run)
	"$live" damage "$opsh" "$XDG_STATE_HOME/opsh/runs" "${run##*/}" \
		>"$t_tmp/damage"
	judged=$(sed -n 's/^judged //p' "$t_tmp/damage")
	t_ok "damage of every line was tried: $judged" test "${judged:-0}" -gt 100
	t_is 'every edit, cut, swap and insertion is found' \
		"$(grep -v '^judged' "$t_tmp/damage")" ''
	t_ok 'the whole one is intact' "$opsh" verify "${run##*/}"
}

the_others() {
	fresh
	load flights::UAL 2000 8 3600
	R mset lock:seat:A1 booking-1 lock:seat:A2 booking-2 >/dev/null
	R expire lock:seat:A2 60 >/dev/null
	o run redis/stats interval=0.2
	t_is 'stats: exit' "$rc" 0
	t_match 'stats: what it shows' "$(cat "$out")" \
		'*hit rate*memory*lifetime*'
	o run redis/stats interval=0.1 max_memory=0
	t_is 'stats, a limit broken: exit' "$rc" 3
	o run redis/memory
	t_is 'memory: exit' "$rc" 0
	t_match 'memory: by prefix' "$(cat "$out")" '*flights::*'
	o run redis/memory max_used=0
	t_is 'memory, above its limit: exit' "$rc" 3
	o run redis/locks
	t_is 'locks: exit' "$rc" 0
	t_match 'locks: owner, and no TTL' "$(tr -s ' ' <"$out")" \
		'*lock:seat:A1 booking-1 none string NO TTL*'
	o run redis/locks strict=true --output jsonl
	t_is 'locks, strict: exit' "$rc" 3
	o run redis/locks release=lock:seat:A1 owner=booking-9 --approve cache
	t_is "another's lock: exit" "$rc" 3
	o run redis/locks release=lock:seat:A1
	t_is 'release without a person: exit' "$rc" 14
	t_is 'both locks are there' "$(R exists lock:seat:A1 lock:seat:A2)" 2
	o run redis/locks release=lock:seat:A1 --approve cache
	t_is 'release: exit' "$rc" 0
	t_is 'released, that one' "$(R exists lock:seat:A1)$(R exists \
		lock:seat:A2)" 01
}

examples() {
	local file
	fresh
	load flights::UAL 200 8 3600
	for file in "$t_root"/playbooks/*/*.lua "$t_root"/examples/scripts/*.lua; do
		t_ok "check ${file#"$t_root/"}" "$opsh" check "$file"
	done
	t_ok 'check of a system' "$opsh" check \
		"$t_root/examples/systems/airline-tracking/opsh.lua"
	o targets --targets "$t_root/examples/systems/airline-tracking/opsh.lua"
	t_match 'its targets' "$(cat "$out")" '*cache*postgres*kafka*'
	o run "$t_root/examples/scripts/ttl-report.lua"
	t_is 'ttl-report: exit' "$rc" 0
	o run "$t_root/examples/scripts/one-flight.lua" UAL7
	t_match 'one-flight' "$(cat "$out")" '*flights::UAL7*'
	printf 'flights::W%d value\n' 1 2 3 >"$t_tmp/warm.txt"
	o run "$t_root/examples/scripts/warm-cache.lua" "$t_tmp/warm.txt"
	t_is 'warm-cache' "$(R exists flights::W1 flights::W2 flights::W3)" 3
	o run "$t_root/examples/scripts/slow-commands.lua"
	t_is 'slow-commands: exit' "$rc" 0
}

demo() {
	mkdir "$t_tmp/demo"
	(
		unset OPSH_TARGETS
		export TMPDIR=$t_tmp/demo OPSH=$opsh
		"$live" interrupt 'ETA' "$t_root/examples/demo.sh" >"$out"
	)
	t_is 'demo, Ctrl-C in the flush: exit' $? 130
	t_is 'and nothing is left' "$(ls -A "$t_tmp/demo")" ''
	t_is 'nor a process' "$(pgrep -f "^[^ ]*redis-server.*$t_tmp/demo")" ''
	(
		unset OPSH_TARGETS
		export TMPDIR=$t_tmp/demo OPSH=$opsh
		timeout 60 "$t_root/examples/demo.sh" >"$out" 2>&1 </dev/null
	)
	t_is 'demo: exit' $? 0
	t_match 'demo: the record' "$(cat "$out")" '*intact, from the first*'
	t_match 'demo: the others' "$(cat "$out")" '*150000*'
	t_is 'demo: nothing is left' "$(ls -A "$t_tmp/demo")" ''
}

t_up redis
R config set slowlog-log-slower-than 0 >/dev/null
"${CC:-cc}" -O2 -o "$t_tmp/load" "$t_here/../bench/redis_load.c" || exit 1
if [ $# -eq 0 ]; then
	set -- exactly_these one_and_none written_meanwhile plan_writes_nothing \
		nobody_there somebody_there progress_seen not_a_cache whole \
		demoted reply_lost password_hidden escapes_hidden \
		refused_at_once record_damaged the_others examples demo
fi
for test; do
	"$test"
done
t_done
