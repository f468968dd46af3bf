#!/usr/bin/env bash
# kafka_faults.sh: messages written while the broker is killed, frozen and started
# again: each list of them says how many are done, failed, unknown, and what stands
# in the topic, as kcat reads it, agrees; none is there twice. And a gigabyte read in
# little memory. OPSH_FAULTS_MESSAGES: how many (100000), OPSH_FAULTS_MB: 1000.
# shellcheck source=tests/lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
t_up kafka
opsh=$t_root/build/test/opsh
messages=${OPSH_FAULTS_MESSAGES:-100000}
megabytes=${OPSH_FAULTS_MB:-1000}
export XDG_STATE_HOME=$t_tmp/state
o() { timeout -k 1 80 "$opsh" --target "events=kafka://$OPSH_KAFKA_BROKERS" "$@" \
	</dev/null; }
topic() { "$OPSH_KAFKA_TOOL" org.apache.kafka.tools.TopicCommand \
	--bootstrap-server "$OPSH_KAFKA_BROKERS" --create --topic "$1" \
	--partitions "$2" >/dev/null; }

# Lists of messages that are counted on: "N:I", each list to one partition. A line a
# list: its first and last number, what became of them.
cat >"$t_tmp/write.lua" <<'E2'
local task = require "opsh.task"
local env = os.getenv
local n, size = math.tointeger(env "COUNT"), math.tointeger(env "LIST")
local timeout, pause = tonumber(env "LIMIT"), tonumber(env "PAUSE")
local out = assert(io.open(env "OUT", "w"))
for first = 1, n, size do
	local list = {}
	for i = first, math.min(first + size - 1, n) do
		list[#list + 1] = ("m%d:%s"):format(i, ("x"):rep(80))
	end
	local r, e = try(events.produce, events, env "TOPIC", list, { partition =
		first // size % 2, timeout = timeout, errors = "keep" })
	-- nobody was there: nothing was sent
	if e and (e.outcome ~= "failed" or e.done) then error(e, 0) end
	r = r or { done = 0, failed = #list, unknown = 0 }
	out:write(("%d %d %d %d %d\n"):format(first, first + #list - 1, r.done,
		r.failed, r.unknown))
	out:flush()
	if pause > 0 then task.sleep(pause) end
end
E2

# Compares what was said with what is there: "done failed unknown there twice wrong".
cat >"$t_tmp/judge.lua" <<'E2'
local there, total, twice = {}, 0, 0
for line in io.lines(arg[2]) do
	local i = math.tointeger(line:match "^m(%d+):")
	there[i] = (there[i] or 0) + 1
	total = total + 1
	if there[i] > 1 then twice = twice + 1 end
end
local done, failed, unknown, wrong = 0, 0, 0, 0
for line in io.lines(arg[1]) do
	local a, b, d, f, u = line:match "^(%d+) (%d+) (%d+) (%d+) (%d+)$"
	a, b, d = math.tointeger(a), math.tointeger(b), math.tointeger(d)
	f, u = math.tointeger(f), math.tointeger(u)
	local here = 0
	for i = a, b do here = here + (there[i] and 1 or 0) end
	done, failed, unknown = done + d, failed + f, unknown + u
	if d + f + u ~= b - a + 1 or here < d or here > d + u then
		wrong = wrong + 1
		io.stderr:write(("wrong: %s, %d are there\n"):format(line, here))
	end
end
print(done, failed, unknown, total, twice, wrong)
E2

# write TOPIC LIST LIMIT PAUSE: in the background; its pid is in `job`.
write() {
	local name=$1
	topic "$name" 2
	TOPIC=$name COUNT=$messages LIST=$2 LIMIT=$3 PAUSE=$4 OUT=$t_tmp/$name.out \
		o run "$t_tmp/write.lua" >"$t_tmp/$name.log" 2>&1 &
	job=$!
}

# lists NAME N: there are so many lines of results.
lists() { [ -f "$t_tmp/$1.out" ] && [ "$(wc -l <"$t_tmp/$1.out")" -ge "$2" ]; }

judge() {
	kcat -b "$OPSH_KAFKA_BROKERS" -C -t "$1" -e -q -f '%s\n' >"$t_tmp/$1.there" ||
		return
	lua5.4 "$t_tmp/judge.lua" "$t_tmp/$1.out" "$t_tmp/$1.there" |
		tr '\t' ' '
}

# --- the broker is killed, and comes back before the time is over ------------------
write killed 1000 60 0.02
for at in 20 55; do
	t_within 60 lists killed "$((messages / 1000 * at / 100))"
	"$OPSH_KAFKA_NODE" kill 1
	"$OPSH_KAFKA_NODE" start 1 >/dev/null
done
wait "$job"
t_is 'killed twice: the writer ends well' $? 0
t_is 'killed twice: all are done, once' "$(judge killed)" \
	"$messages 0 0 $messages 0 0"

# --- it is frozen for longer than the time: nobody knows, or it failed -------------
write frozen 1000 1.5 0.02
t_within 60 lists frozen "$((messages / 1000 / 4))"
"$OPSH_KAFKA_NODE" freeze 1
sleep 3
"$OPSH_KAFKA_NODE" thaw 1
t_within 60 lists frozen "$((messages / 1000 / 2))"
"$OPSH_KAFKA_NODE" kill 1
sleep 2.5
"$OPSH_KAFKA_NODE" start 1 >/dev/null
wait "$job"
t_is 'frozen: the writer ends well' $? 0
said=$(judge frozen)
t_match 'frozen: what is said agrees, none is there twice' "$said" '* 0 0'
read -r done failed unknown _ <<<"$said"
t_is 'frozen: each is done, failed or unknown' $((done + failed + unknown)) \
	"$messages"
t_ok 'frozen: some are unknown or failed' [ $((failed + unknown)) -gt 0 ]
echo "frozen: $done done, $failed failed, $unknown unknown"

# --- a gigabyte -----------------------------------------------------------------------
topic big 4
cat >"$t_tmp/big.lua" <<'E2'
local mb, value = math.tointeger(os.getenv "MB"), ("x"):rep(1000)
local list = {}
for i = 1, 10000 do list[i] = value end
for _ = 1, mb // 10 do events:produce("big", list, { timeout = 60 }) end
E2
cat >"$t_tmp/follow.lua" <<'E2'
local function peak()
	for line in io.lines "/proc/self/status" do
		local kb = line:match "^VmHWM:%s*(%d+)"
		if kb then return math.tointeger(kb) end
	end
end
local base, n, bytes = nil, 0, 0
local want = math.tointeger(os.getenv "MB") // 10 * 10000
for m in events:follow { topic = "big", from = "earliest" } do
	base = base or peak()
	n, bytes = n + 1, bytes + #m.value
	if n == want then break end
end
print(bytes, (peak() - base) // 1024)
E2
t_ok 'a gigabyte is written' env MB="$megabytes" \
	timeout -k 1 80 "$t_root/build/release/opsh" --target \
	"events=kafka://$OPSH_KAFKA_BROKERS" run "$t_tmp/big.lua"
read -r bytes grown <<<"$(MB=$megabytes o run "$t_tmp/follow.lua")"
t_is 'and followed, all of it' "$bytes" $((megabytes / 10 * 10000000))
t_ok "in base + 64 MiB (+ $grown)" [ "${grown:-999}" -le 64 ]
echo "a gigabyte: + ${grown:-?} MiB"
t_done
