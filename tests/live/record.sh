# shellcheck shell=bash disable=SC2154,SC2030,SC2031,SC2034 # names of run.sh
# record.sh: the rest of run.sh: that no secret and no escape sequence gets out,
# that what is wrong in a playbook is refused before anybody is called, that a
# damaged record is found, and that the other playbooks, examples and the demo
# do what they say. Sourced by run.sh; must not run on its own.

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
		t_ok "check ${file#"$t_root/"}" "$opsh" check "$file" \
			--target gateway=http://localhost
	done
	for file in "$t_root"/examples/systems/*/opsh.lua; do
		t_ok "check ${file#"$t_root/"}" "$opsh" check "$file"
		o targets --targets "$file"
		t_is "targets of ${file#"$t_root/"}: exit" "$rc" 0
		t_match 'they are listed' "$(cat "$out")" '*orchestrator*rows)*'
	done
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

# Servers below the demo's folder: by their command line, or where they stand.
demo_processes() {
	local dir
	for dir in /proc/[0-9]*; do
		case "$(tr '\0' ' ' <"$dir/cmdline") $(readlink "$dir/cwd")" in
		*"$t_tmp/demo"/*) printf '%s\n' "$dir" ;;
		esac
	done 2>/dev/null
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
	t_is 'nor a process' "$(demo_processes)" ''
	(
		unset OPSH_TARGETS
		export TMPDIR=$t_tmp/demo OPSH=$opsh
		"$live" interrupt '3 a.m.:' "$t_root/examples/demo.sh" >"$out"
	)
	t_is 'demo, Ctrl-C while a service hangs: exit' $? 130
	t_is 'and nothing is left there' "$(ls -A "$t_tmp/demo")" ''
	t_is 'nor a process there' "$(demo_processes)" ''
	(
		unset OPSH_TARGETS
		export TMPDIR=$t_tmp/demo OPSH=$opsh
		timeout 170 "$t_root/examples/demo.sh" >"$out" 2>&1 </dev/null
	)
	t_is 'demo: exit' $? 0
	t_match 'demo: the record' "$(cat "$out")" '*intact, from the first*'
	t_match 'demo: the others' "$(cat "$out")" '*150000*'
	t_match 'demo: health, one down' "$(cat "$out")" \
		'*1 of 5 down: payment*(exit 1: one is down)*'
	t_match 'demo: triage' "$(cat "$out")" \
		'*begin with payment: most likely: it is paused*'
	t_match 'demo: restarted, and all is well' "$(cat "$out")" \
		'*payment  paused (0 of 1 ready)  healthy*all 5 up*'
	t_match 'demo: the breaker is closed again, the refused are counted' \
		"$(cat "$out")" '*breaker  closed*in all * taken, * refused*'
	t_is 'demo: nothing is left' "$(ls -A "$t_tmp/demo")" ''
	t_is 'demo: no process' "$(demo_processes)" ''
}
