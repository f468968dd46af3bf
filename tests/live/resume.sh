#!/bin/bash
# resume.sh: runs killed with -9 at each point, and `opsh resume` after it: each
# write happens once, what is in doubt is settled or stays so, and nothing is
# resumed that is not what it was. Against a real Redis.
# shellcheck source=tests/lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
t_up redis
opsh=$t_root/build/test/opsh
export XDG_STATE_HOME=$t_tmp/state
cli() { redis-cli -p "$OPSH_REDIS_PORT" "$@"; }
o() { timeout -k 1 20 "$opsh" --target "cache=$OPSH_REDIS_URL" "$@" < /dev/null; }
last() { find "$XDG_STATE_HOME/opsh/runs" -mindepth 1 -maxdepth 1 -type d |
	sort | tail -n 1; }

# Three steps; at the point that KILL_AT names it waits to be killed.
cat > "$t_tmp/three.lua" <<'E2'
local function point(name)
	if os.getenv "KILL_AT" == name then
		require("opsh.task").sleep(30)
	end
end
return {
	name = "test/three", summary = "three counted writes", severity = "P4",
	needs = { cache = "redis" },
	params = { by = { type = "integer", default = 1, help = "the increment" } },
	run = function(t, p)
		local one = step("one", function()
			return { n = t.cache:incrby("one", p.by).value, f = 2.0,
				bytes = "\255\0\195\169" }
		end)
		point "between"
		if math.type(one.f) ~= "float" or #one.bytes ~= 4 then
			error "a recorded result is not what it was"
		end
		step("two", { probe = function()
			local v = tonumber(t.cache:get "two" or "0")
			if os.getenv "PROBE" == "unsure" then return nil end
			return v > 0
		end }, function()
			t.cache:incrby("two", p.by)
			point "in-step"
			t.cache:blpop("never", 20, { timeout = 25 })
		end)
		step("three", { idempotent = true }, function()
			t.cache:set("three", tostring(one.n))
		end)
		point "after"
		return one.n
	end,
}
E2

# killed_at POINT PATTERN: starts a run, waits until its journal has PATTERN, kills.
killed_at() {
	cli flushall > /dev/null
	KILL_AT=$1 o run "$t_tmp/three.lua" by=5 \
		> "$t_tmp/out" 2>&1 &
	local job=$! pid
	seen() { grep -q "$2" "$(last)/journal.jsonl" 2> /dev/null; }
	sleep 0.1
	t_within 10 seen "$1" "$2" || t_fail "run reached $1" "$(cat "$t_tmp/out")"
	pid=$(sed -n '1s/.*"pid":\([0-9]*\).*/\1/p' "$(last)/journal.jsonl")
	kill -9 "$pid"
	wait "$job" 2> /dev/null
}
values() { cli mget one two three | tr '\n' ' '; }

killed_at between '"name":"one".*"state":"done"\|"state":"done".*"name":"one"'
(sleep 1; cli lpush never x > /dev/null) &
out=$(o resume last 2>&1); rc=$?
t_is "resume after one step: exit" "$rc" 0
t_match "resume after one step: one is reused" "$out" "*done before*one*"
t_is "each write once" "$(values)" "5 5 5 "
t_ok "its journal is intact" o verify last
out=$(o resume last 2>&1); rc=$?
t_is "a run that ended well is not resumed" "$rc" 2
t_match "... says so" "$out" "*ended well*"

killed_at blpop '"verb":"BLPOP"'
before=$(values)
out=$(o resume last 2>&1); rc=$?
t_is "in doubt, the probe says applied: exit" "$rc" 0
t_is "... two is not written again" "$(cli get two)" "5"
t_is "... before the resume one and two stood" "$before" "5 5  "
t_ok "... intact" o verify last
t_match "... the timeline says how it was settled" "$(o timeline last 2>&1)" \
	"*settled: applied*BLPOP*"

killed_at blpop '"verb":"BLPOP"'
out=$(PROBE=unsure o resume last 2>&1); rc=$?
t_is "in doubt, nobody knows, no terminal: exit" "$rc" 13
t_match "... names the write" "$out" "*in doubt*BLPOP*"
t_is "... nothing was written" "$(values)" "5 5  "
cli set two 0 > /dev/null
(sleep 1; cli lpush never x > /dev/null) &
out=$(o resume last 2>&1); rc=$?
t_is "... resumed again, the probe says not applied: exit" "$rc" 0
t_is "... two is written once more" "$(values)" "5 5 5 "

killed_at between '"state":"done"'
printf '{"seq":9,"prev":"torn' >> "$(last)/journal.jsonl"
(sleep 1; cli lpush never x > /dev/null) &
t_ok "a torn tail: resumed" o resume last
t_ok "... the torn bytes are kept" grep -rq prev...torn "$(last)"/torn-*
t_ok "... and the chain goes on" o verify last

killed_at between '"state":"done"'
cp "$t_tmp/three.lua" "$t_tmp/keep.lua"
sed -i 's/three counted writes/3 counted writes/' "$t_tmp/three.lua"
out=$(o resume last 2>&1); rc=$?
t_is "an edited playbook: exit" "$rc" 12
t_match "... shows what differs" "$out" "*line*three counted*3 counted*"
cp "$t_tmp/keep.lua" "$t_tmp/three.lua"
out=$(o resume last by=6 2>&1); rc=$?
t_is "another parameter: exit" "$rc" 2
run=$(last)
sed -i '3s/one/uno/' "$run/journal.jsonl"
out=$(o resume last 2>&1); rc=$?
t_is "a damaged journal: exit" "$rc" 15

# The flush: killed with some thousand keys gone, it looks again and takes the rest.
cc -O2 -o "$t_tmp/load" "$t_root/tests/bench/redis_load.c" || t_fail "the loader"
cli flushall > /dev/null
"$t_tmp/load" "$OPSH_REDIS_PORT" flights:: 20000 16 900 > /dev/null
"$t_tmp/load" "$OPSH_REDIS_PORT" other:: 5000 16 900 > /dev/null
cli config set maxmemory-policy allkeys-lru > /dev/null
o run redis/cache-flush 'pattern=flights::*' rate=5000 --approve cache \
	> "$t_tmp/out" 2>&1 &
job=$!
gone() { [ "$(cli dbsize)" -lt 20000 ]; }
t_within 10 gone || t_fail "the flush began" "$(cat "$t_tmp/out")"
kill -9 "$(sed -n '1s/.*"pid":\([0-9]*\).*/\1/p' "$(last)/journal.jsonl")"
wait "$job" 2> /dev/null
left=$(cli dbsize)
out=$(o resume last --approve cache 2>&1); rc=$?
t_is "a flush resumed: exit" "$rc" 0
t_ok "... it was in the middle ($left left)" test "$left" -gt 5000
t_is "... none matches" "$(cli --scan --pattern 'flights::*' | wc -l)" 0
t_is "... all others are there" "$(cli dbsize)" 5000
t_ok "... intact" o verify last

# What only looks is not taken from the record.
cat > "$t_tmp/opsh.lua" <<E3
return { targets = { cache = "$OPSH_REDIS_URL", dead = "http://127.0.0.1:1" },
  services = { cache = { target = "cache" }, shop = { target = "dead" } } }
E3
chmod 600 "$t_tmp/opsh.lua"
out=$(o --targets "$t_tmp/opsh.lua" run services/health 2>&1); rc=$?
t_is "health with one down: exit" "$rc" 1
out=$(o --targets "$t_tmp/opsh.lua" resume last 2>&1); rc=$?
t_is "... resumed: exit" "$rc" 1
t_match "... it has looked again" "$out" "*1 of 2 down: shop*cache *up *"
killed_at between '"state":"done"'
(
	"$t_stack" up "$t_tmp/stack2" redis > /dev/null
) || t_fail "a second server"
OPSH_REDIS_URL=$(. "$t_tmp/stack2/env" && printf %s "$OPSH_REDIS_URL")
out=$(o resume last 2>&1); rc=$?
"$t_stack" down "$t_tmp/stack2"
t_is "another server at the address asked: exit" "$rc" 12
t_match "... says who it was" "$out" "*run_id=*"
t_done
