#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2048,SC2154,SC2217,SC2317 # Lua in quotes; names of test.sh;
# functions called by name
# lock.sh: locks, shown on real stores: races that have one winner at a time, with
# holders that stand still, die or lose their store; who is told what; what frees a
# lock and what does not. OPSH_LOCK_ROUNDS=N: the races N times (1).
#     lock.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
live=$t_here/../live
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp PYTHONDONTWRITEBYTECODE=1 USER=ada
stores="file cache db"

R() {
	timeout 20 redis-cli -p "$OPSH_REDIS_PORT" "$@"
}

# o STORE ARG...: opsh with this store, output in $out and $err, exit code in $rc.
o() {
	local store=$1
	shift
	timeout -k 1 60 "$opsh" --targets "$t_tmp/$store.lua" "$@" </dev/null \
		>"$out" 2>"$err"
	rc=$?
}

# held STORE ARG...: the same in the background: $pid; waits for its first write.
held() {
	local store=$1
	shift
	rm -f "$t_tmp/seen"
	"$opsh" --targets "$t_tmp/$store.lua" run "$t_tmp/work.lua" "$@" \
		</dev/null >"$t_tmp/held.out" 2>"$t_tmp/held.err" &
	pid=$!
	t_reap "$pid"
	t_within 10 test -s "$t_tmp/seen" ||
		t_fail "$store: the holder writes" "$(cat "$t_tmp/held.err")"
}

# ended CODE NAME: the holder ends with it.
ended() {
	wait "$pid"
	t_is "$2" $? "$1"
}

id_of() {
	o "$1" --output jsonl locks
	sed -n 's/.*"id":"\([^"]*\)".*/\1/p' "$out"
}

# The lease of a dead holder ends.
free() {
	t_within 10 test_free "$1" || t_fail "$1: its lease ends"
}

test_free() {
	[ -z "$(id_of "$1")" ] || { o "$1" locks && grep -q ended "$out"; }
}

# Each write is a line: its step's number. The step after $t_tmp/hold is not begun
# while that file is there.
prepare() {
	local store name ttl
	t_up redis postgres
	for store in $stores; do
		for ttl in 1500ms 20s; do
			name=$store
			[ $ttl = 1500ms ] || name=$store-long
			cat >"$t_tmp/$name.lua" <<-EOT
			return { targets = { cache = "$OPSH_REDIS_URL",
			    db = "$OPSH_POSTGRES_URL" },
			  lock = { store = "$store", ttl = "$ttl" } }
			EOT
		done
	done
	cat >"$t_tmp/work.lua" <<-EOT
	return {
	  name = "test/work", summary = "writes lines", severity = "P4",
	  needs = { cache = "redis" }, lock = "work",
	  params = { steps = { type = "integer", default = 3, help = "how many" },
	    writes = { type = "integer", default = 1, help = "in each" },
	    nap = { type = "number", default = 0.2, help = "after each" } },
	  run = function(t, p)
	    for n = 1, p.steps do
	      step("step " .. n, function()
	        for _ = 1, p.writes do
	          fs.append("$t_tmp/seen", n .. "\n")
	          task.sleep(p.nap)
	        end
	      end)
	    end
	    local held = require("opsh.lock").held()
	    return held and held.token
	  end,
	}
	EOT
}

races() {
	local store rc n=${OPSH_LOCK_ROUNDS:-1} text
	for store in $stores; do
		text=$(timeout -k 1 $((150 * n)) "$live/lock_races.py" "$opsh" \
			"$t_tmp/$store" "$OPSH_REDIS_PORT" $((164 * n)) \
			$((28 * n)) $((8 * n)))
		rc=$?
		printf "%s: %s, %d s\n" "$store" "$text" "$SECONDS"
		t_is "$store: races" "$rc" 0
		t_match "$store: their number" "$text" \
			"$((200 * n)) races, * 0 not as they have to be"
	done
}

busy() {
	local store=$1 id
	held "$store" nap=1
	o "$store" run "$t_tmp/work.lua"
	t_is "$store: busy" "$rc" 11
	t_match "$store: who has it" "$(cat "$err")" "*lock 'work' is held by ada$(
		)* on $(hostname), run 01*, playbook test/work*since 2*$(
		)*, lease until 2*opsh unlock work*"
	t_is "$store: nothing was written" "$(cat "$t_tmp/seen")" 1
	o "$store" --output jsonl run "$t_tmp/work.lua"
	t_match "$store: busy, for a program" "$(cat "$out")" \
		'*"exit":11*"kind":"busy"*'
	sleep 0.7	# its record has the step when the lease was renewed
	o "$store" locks
	t_match "$store: opsh locks" "$(cat "$out")" \
		"*work#*ada*$(hostname)*01*step *held*"
	o "$store" plan "$t_tmp/work.lua"
	t_is "$store: a plan beside it" "$rc" 0
	t_match "$store: says who has it" "$(cat "$err")" \
		"lock 'work' is held by ada on *, step 'step *'*"
	id=$(id_of "$store")
	o "$store" unlock work --lock "$id"
	t_is "$store: a live holder's lock is not freed" "$rc" 14
	t_match "$store: and why" "$(cat "$err")" '*its holder may be alive*'
	t_is "$store: it is still held" "$(id_of "$store")" "$id"
	ended 0 "$store: the holder ends well"
	t_is "$store: with all of its writes" "$(tr '\n' ' ' <"$t_tmp/seen")" '1 2 3 '
	t_is "$store: and none is held" "$(id_of "$store")" ''
	o "$store" locks
	t_match "$store: opsh locks says so" "$(cat "$err")" 'no lock is held*'
	o "$store" plan "$t_tmp/work.lua"
	t_match "$store: a plan says that it is free" "$(cat "$err")" \
		"lock 'work' is free*"
	t_is "$store: and takes none" "$(id_of "$store")" ''
	o "$store" timeline last
	o "$store" verify last
	t_is "$store: the record is whole" "$rc" 0
}

# kill -9: the lock is freed by its id and a proof; resume takes it again.
died() {
	local store=$1-long id token
	held "$store" nap=0.5
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	id=$(id_of "$store")
	o "$store" locks
	t_match "$store: of a dead process" "$(cat "$out")" '*process gone*'
	o "$store" unlock work
	t_is "$store: no terminal, no id" "$rc" 14
	t_match "$store: the flag is named" "$(cat "$err")" "*hint: --lock $id*"
	o "$store" unlock work --lock work#1000000
	t_is "$store: another id" "$rc" 14
	t_is "$store: still held" "$(id_of "$store")" "$id"
	o "$store" unlock work --lock "$id"
	t_is "$store: its id and a proof" "$rc" 0
	t_match "$store: which is told" "$(cat "$err")" "*process $pid of run 01* is gone*"
	t_is "$store: it is free" "$(id_of "$store")" ''
	o "$store" timeline last
	t_match "$store: and on record" "$(cat "$out")" '*unlock*broken*'
	o "$store" unlock work
	t_is "$store: what is not held" "$rc" 0
	held "$store" nap=0.5
	token=$(id_of "$store")
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	run=$(sed -n 's/.*"run":"\([^"]*\)".*/\1/p' "$out")
	o "$store" resume "$run" --output jsonl
	# the first step has written and not ended: nobody knows but a person
	t_is "$store: resume takes it again" "$(grep -c '"state":"acquired"' "$out")" 1
	t_ok "$store: with a greater token" test "${token#*#}" -lt "$(
		sed -n 's/.*"acquired".*"token":\([0-9]*\).*/\1/p' "$out")"
	t_is "$store: and gives it back" "$(id_of "$store")" ''
}

typed() {
	local id
	held file-long nap=0.5
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	id=$(id_of file-long)
	timeout 30 "$live/live.py" pty no "$opsh" --targets "$t_tmp/file-long.lua" \
		unlock work >"$out" 2>&1
	t_is 'another word than the id' $? 14
	timeout 30 "$live/live.py" pty "$id" "$opsh" --targets "$t_tmp/file-long.lua" \
		unlock work >"$out" 2>&1
	t_is 'the id, typed' $? 0
	t_match 'it was asked for' "$(cat "$out")" "*type '$id' to go on*"
}

interrupted() {
	local store=$1 signal
	for signal in INT TERM; do
		held "$store" nap=5
		kill -"$signal" "$pid"
		wait "$pid"
		t_is "$store: given back after $signal" "$(id_of "$store")" ''
	done
}

# Nobody reads the output: the lease is kept all the same (fault 57).
unread() {
	local id
	rm -f "$t_tmp/seen"
	mkfifo "$t_tmp/pipe"
	sleep 4 >/dev/null <"$t_tmp/pipe" &
	t_reap $!
	cat >"$t_tmp/loud.lua" <<-EOT
	return { name = "test/loud", summary = "s", needs = {}, lock = "work",
	  run = function()
	    for n = 1, 3 do
	      print(("x"):rep(200000))
	      fs.append("$t_tmp/seen", n .. "\n")
	      task.sleep(0.8)
	    end
	  end }
	EOT
	"$opsh" --targets "$t_tmp/file.lua" run "$t_tmp/loud.lua" \
		>"$t_tmp/pipe" 2>"$t_tmp/held.err" </dev/null &
	pid=$!
	t_reap "$pid"
	t_within 10 test -s "$t_tmp/seen"
	id=$(id_of file)
	sleep 2.2
	t_is 'a blocked output: the lease goes on' "$(id_of file)" "$id"
	t_is 'and the run' "$(wc -l <"$t_tmp/seen")" 3
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	free file
}

# gone STORE, back STORE: nobody answers; connections that are open are cut.
gone() {
	case $1 in
	slow-cache) kill -STOP "$server" ;;
	slow-db)
		kill -STOP "$OPSH_POSTGRES_PID"
		# shellcheck disable=SC2046 # words on purpose
		kill $(pgrep -P "$OPSH_POSTGRES_PID" -f 'ops flights') ;;
	esac
}

back() {
	case $1 in
	slow-cache) kill -CONT "$server" ;;
	slow-db) kill -CONT "$OPSH_POSTGRES_PID" ;;
	esac
}

# What the store knew is no more.
forgotten() {
	case $1 in
	slow-file) rm -rf "$XDG_STATE_HOME/opsh/locks" ;;
	slow-cache) R flushall >/dev/null ;;
	slow-db) psql -qAt "$OPSH_POSTGRES_URL" -c 'truncate opsh_locks' ;;
	esac
}

# The store stands still: the step that has written goes on, no other begins.
store_lost() {
	local store=slow-$1 server
	server=$(R info server | tr -d '\r' | sed -n 's/^process_id://p')
	sed 's/1500ms/6s/' "$t_tmp/$1.lua" >"$t_tmp/$store.lua"
	if [ "$1" != file ]; then
		held "$store" steps=2 writes=6 nap=0.4
		gone "$store"
		ended 11 "$1: the store is lost"
		back "$store"
		t_is "$1: the current step finishes, no other writes" \
			"$(sort "$t_tmp/seen" | uniq -c | tr -s ' \n' ' ')" ' 6 1 '
		t_match "$1: the state is said" "$(cat "$t_tmp/held.err")" \
			"*lock 'work' can't be confirmed: store '$1'*"
		free "$store"
	fi
	held "$store" steps=2 writes=2 nap=1.2
	forgotten "$store"
	ended 11 "$1: the store forgot it"
	t_match "$1: which is told" "$(cat "$t_tmp/held.err")" \
		'*lock lost*no token * any more*'
	t_is "$1: at the next write" "$(cat "$t_tmp/seen")" 1
}

# A lock must not be kept on what the playbook takes down.
same_server() {
	sed 's/cache = "redis" }/cache = { kind = "redis", lock = false } }/' \
		"$t_tmp/work.lua" >"$t_tmp/down.lua"
	rm -f "$t_tmp/seen"
	o cache run "$t_tmp/down.lua"
	t_is 'the store is what may go down' "$rc" 2
	t_match 'which is said' "$(cat "$err")" \
		"*lock store 'cache' is the server of target 'cache'*"
	cat >"$t_tmp/alias.lua" <<-EOT
	return { targets = { cache = "$OPSH_REDIS_URL",
	    other = "redis://localhost:$OPSH_REDIS_PORT" },
	  lock = { store = "other" } }
	EOT
	o alias run "$t_tmp/down.lua"
	t_is 'by another name' "$rc" 2
	t_is 'and nothing was written' "$(ls "$t_tmp/seen" 2>/dev/null)" ''
	sed 's/cache = { kind = "redis"/cache = { kind = "postgres"/' \
		"$t_tmp/down.lua" >"$t_tmp/down-db.lua"
	cat >"$t_tmp/alias.lua" <<-EOT
	return { targets = { cache = "$OPSH_POSTGRES_URL",
	    other = "${OPSH_POSTGRES_SUPER_URL/127.0.0.1/localhost}" },
	  lock = { store = "other" } }
	EOT
	o alias run "$t_tmp/down-db.lua"
	t_is 'the same cluster' "$rc" 2
	t_match 'which is said' "$(cat "$err")" \
		"*lock store 'other' is the server of target 'cache'*"
	o file run "$t_tmp/down.lua" nap=0
	t_is 'another store is fine' "$rc" 0
	sed 's/lock = false/lock = true/' "$t_tmp/down.lua" >"$t_tmp/bad.lua"
	o file run "$t_tmp/bad.lua"
	t_is "'lock' of a need is false or absent" "$rc" 2
}

# What the run did is what is counted, not what its lock did.
counted() {
	o file run "$t_tmp/work.lua" steps=1 nap=0
	t_match 'the writes of the run' "$(cat "$err")" '*exit 0 *, 1 write;*'
	o file timeline last
	t_match 'the lock is on record' "$(cat "$out")" \
		'*lock *acquired*write*lock *released*'
	t_is 'its calls are not in the way' "$(grep -c 'lock acquire' "$out")" 0
	o file timeline last --reads
	t_is 'and there when asked for' "$(grep -c 'lock acquire' "$out")" 1
	for code in 2 5000; do
		sed "s/1500ms/${code}h/" "$t_tmp/file.lua" >"$t_tmp/ttl.lua"
		o ttl locks
		t_is "a ttl of $code h" "$rc" 2
	done
}

prepare
for test in ${*:-busy died interrupted typed unread counted same_server store_lost \
	races}
do
	case $test in
	busy | died | interrupted | store_lost)
		for store in $stores; do "$test" "$store"; done ;;
	*)	"$test" ;;
	esac
done
t_done
