#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154 # Lua in quotes; names of test.sh
# kafka_dlq.sh: dead letters are replayed each exactly once, whatever kills the replay,
# and a second replay at the same time ends the first. Against a real broker, read
# back as committed. OPSH_DLQ_KILLS=N: killed N times (3); OPSH_DLQ_LETTERS (10000).

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
kills=${OPSH_DLQ_KILLS:-3} letters=${OPSH_DLQ_LETTERS:-10000}
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state
t_up kafka
# older than a day, and none too old for its topic
BEGAN=$(($(date +%s) - 86400))
export BEGAN
target=events=kafka://$OPSH_KAFKA_BROKERS

o() {
	timeout -k 1 60 "$opsh" --target "$target" "$@" </dev/null >"$out" 2>"$err"
}

# replay NAME [SETTLE [PARAMETER...]]
replay() {
	o run kafka/dlq-replay topic="$1-dlq" parked="$1-parked" settle="${2:-0}" \
		"${@:3}" --approve events
}

# fill NAME COUNT: dead letters of NAME: each hundredth of an unknown origin, each
# hundred-and-first replayed three times.
fill() {
	t_ok "$1: $2 dead letters" env NAME="$1" COUNT="$2" timeout -k 1 60 "$opsh" \
		--target "$target" -e '
		local name, count = os.getenv "NAME", tonumber(os.getenv "COUNT")
		local began = tonumber(os.getenv "BEGAN")
		for topic, n in pairs { [name] = 4, [name .. "-dlq"] = 2,
			[name .. "-parked"] = 1 } do
			events:create_topic(topic, { partitions = n })
		end
		local list = {}
		for i = 1, count do
			list[i] = { key = "k" .. i % 50, value = "v" .. i,
				timestamp = began + i / 4, headers = {
				{ "error-reason", i % 3 == 0 and "Timeout" or "Invalid" },
				{ "origin-topic", i % 100 == 0 and "gone" or name },
				{ "origin-partition", tostring(i % 4) }, { "x", "" .. i },
				{ "replay-count", i % 101 == 0 and "3" or "1" } } }
		end
		events:produce(name .. "-dlq", list)'
}

# once NAME COUNT: each is where it belongs, once, as it was.
once() {
	t_is "$1: each letter exactly once, where it belongs, as it was" "$(
		NAME="$1" COUNT="$2" timeout -k 1 60 "$opsh" --target "$target" -e '
		local name, count = os.getenv "NAME", tonumber(os.getenv "COUNT")
		local began = tonumber(os.getenv "BEGAN")
		local seen, odd, parked = {}, {}, 0
		for m in events:messages { topic = name } do
			local i = tonumber(m.value:sub(2))
			if seen[i] or i % 100 == 0 or i % 101 == 0
				or m.key ~= "k" .. i % 50 or m.timestamp ~= began + i / 4
				or m.headers["replay-count"] ~= "2" or m.partition ~= i % 4
				or m.headers.x ~= "" .. i or #m.header_list ~= 5 then
				odd[#odd + 1] = m.value
			end
			seen[i] = true
		end
		for m in events:messages { topic = name .. "-parked" } do
			local i = tonumber(m.value:sub(2))
			if seen[i] or i % 100 ~= 0 and i % 101 ~= 0
				or m.headers["parked-because"] ~= (i % 100 == 0
				and "unknown origin" or "replayed enough") then
				odd[#odd + 1] = m.value
			end
			seen[i], parked = true, parked + 1
		end
		local missing = {}
		for i = 1, count do
			if not seen[i] then missing[#missing + 1] = i end
		end
		print(("odd (%s), missing (%s), %d parked"):format(
			table.concat(odd, " ", 1, math.min(5, #odd)),
			table.concat(missing, " ", 1, math.min(5, #missing)), parked))' 2>&1
	)" "odd (), missing (), $(($2 / 100 + $2 / 101 - $2 / 10100)) parked"
}

# The end of what stands in the topic `killed`.
high() {
	timeout -k 1 20 "$opsh" --target "$target" -e 'local n = 0
		for _, row in ipairs(events:watermarks "killed") do n = n + row.high end
		print(n)'
}

grown() {
	[ "$(high)" -gt "$1" ]
}

# --- killed --------------------------------------------------------------------------
killed() {
	local n pid hit=0 batch=5 before
	[ "$kills" -le 5 ] || batch=2
	fill killed "$letters"
	for ((n = 0; n < kills; n++)); do
		before=$(high)
		"$opsh" --target "$target" run kafka/dlq-replay topic=killed-dlq \
			parked=killed-parked settle=0 batch=$batch --approve events \
			</dev/null >"$out" 2>"$err" &
		pid=$!
		t_reap "$pid"
		t_within 20 grown "$before" || t_fail 'it works' "$(cat "$err")"
		sleep "$(awk -v r=$RANDOM 'BEGIN { print r / 32768 * 0.6 }')"
		if kill -KILL "$pid" 2>/dev/null; then
			hit=$((hit + 1))
		else
			cat "$err"
		fi
		wait "$pid" 2>/dev/null
	done
	t_is "killed $kills times while it worked" "$hit" "$kills"
	replay killed
	t_is 'run again: it comes to its end' $? 0
	t_match '... having done the rest' "$(cat "$out")" '*snapshot*'
	t_ok '... not all of it' test "$(sed -n 's/^snapshot *//p' "$out")" \
		-lt "$letters"
	replay killed
	t_match 'and once more: nothing is left' "$(cat "$out" "$err")" \
		'*nothing to do*'
	once killed "$letters"
}

# --- two at a time --------------------------------------------------------------------
begun() {
	"$opsh" --target "$target" -e 'print(#events:consume { topic = "two",
		max = 12 } > 11)' 2>&1 | grep -q true
}

two() {
	local first code
	fill two 1000
	"$opsh" --target "$target" run kafka/dlq-replay topic=two-dlq \
		parked=two-parked settle=3 --approve events </dev/null \
		>"$t_tmp/first" 2>&1 &
	first=$!
	t_reap "$first"
	t_within 15 begun || t_fail 'the first replay has begun' "$(cat "$t_tmp/first")"
	replay two
	t_is 'a second replay does the rest' $? 0
	wait "$first"
	code=$?
	t_is 'the first one is fenced off: exit 11' "$code" 11
	t_match '... and says so' "$(cat "$t_tmp/first")" \
		"*busy*producer holds the transactional id 'opsh-replay-two-dlq' now*"
	once two 1000
}

# --- what stops it ---------------------------------------------------------------------
stopped() {
	fill grows 300
	replay grows 2 growth=0 &
	local pid=$!
	t_within 15 eval '"$opsh" --target "$target" -e "print(#events:consume {
		topic = \"grows\", max = 1 })" | grep -q 1'
	"$opsh" --target "$target" -e 'events:produce { topic = "grows-dlq",
		value = "again" }' >/dev/null
	wait "$pid"
	t_is 'it stops when the dead letters grow' $? 15
	t_match '... and says where it stands' "$(cat "$err")" \
		"*stopped, * of 300: 'grows-dlq' has 1 new message after*"
	o run kafka/dlq-replay topic=ordres-dlq --approve events
	t_match 'a mistyped topic' "$(cat "$err")" "*no topic 'ordres-dlq'*"
	o plan kafka/dlq-replay topic=grows-dlq parked=grows-parked
	t_is 'a plan' $? 0
	t_match '... says what it would do' "$(cat "$out" "$err")" \
		'*none sent*'
	replay grows 0 reason=timeout
	t_is 'only those of a reason' $? 0
	t_ok '... the others are passed over' test \
		"$(sed -n 's/^skipped *//p' "$out")" -gt 50
}

killed
two
stopped
t_done
