#!/usr/bin/env bash
# shellcheck disable=SC2154 # names of test.sh and of the stack
# postgres_plan.sh: what leaks through READ ONLY, and every write of the corpus, is
# withheld by a plan and refused on a protected environment, by a superuser's target
# of a primary and of its standby: the servers' logs and their state are the witness.
# Owns its targets files and the statements' files. Last line: N passed, N failed.
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=../lib/test.sh
. "$here/../lib/test.sh"
OPSH=${OPSH:-$t_root/build/release/opsh}
[ -x "$OPSH" ] || { echo "'$OPSH' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state
cd "$t_root" || exit 1
t_up postgres-ha
url=$OPSH_PG_PRIMARY_SUPER_URL
log=$OPSH_PG_PRIMARY_LOG
standby=$OPSH_PG_STANDBY_SUPER_URL

# sql STATEMENT [URL]: one value.
sql() {
	psql -XqAtc "$1" "${2:-$url}"
}

# code CALL: Lua that gives each statement of the corpus to CALL, and counts.
code() {
	lua5.4 - "$1" <<'EOF'
local corpus, out = dofile "tests/spec/sql_corpus.lua", {}
for _, list in ipairs { "leaks", "write", "destructive" } do
	for _, entry in ipairs(corpus[list]) do
		out[#out + 1] = ("%q"):format(type(entry) == "table" and entry[1]
			or entry)
	end
end
io.write(([[
local postgres = require "opsh.postgres"
local count = { done = 0, refused = 0 }
for _, sql in ipairs { %s } do
	local v = postgres.judge(sql)
	local ok = pcall(function()
		return db:%s(sql, table.unpack({ 1, 2, 3 }, 1, v.parameters))
	end)
	local never = v.statements > 1 or v.transaction or v.session or v.copy_in
		or v.copy_out
	if never and ok then show("not refused: " .. sql) end
	if not never then
		local key = ok and "done" or "refused"
		count[key] = count[key] + 1
	end
end
show("done " .. count.done .. " refused " .. count.refused)
]]):format(table.concat(out, ",\n"), arg[1]))
EOF
}

# sent FILE: statements of the corpus that the part of the log has.
sent() {
	lua5.4 - "$1" <<'EOF'
local corpus = dofile "tests/spec/sql_corpus.lua"
local file <close> = assert(io.open(arg[1], "rb"))
local text = file:read("a"):gsub("\n\t", "\n")
for _, list in ipairs { "leaks", "write", "destructive" } do
	for _, entry in ipairs(corpus[list]) do
		local sql = type(entry) == "table" and entry[1] or entry
		for line in text:gmatch "[^\n]*LOG:[^\n]*: ([^\n]*)" do
			if line == sql:match "[^\n]*" then print(sql) end
		end
	end
end
EOF
}

# state: what the statements would change, of the server's own.
state() {
	sql "select (select count(*) from pg_replication_slots),
		(select count(*) from pg_largeobject_metadata),
		(select count(*) from pg_locks where locktype = 'advisory'),
		(select count(*) from pg_class where oid > 16384),
		(select last_value || ' ' || is_called from seq),
		(select count(*) || ' ' || sum(a) from t), (select count(*) from u),
		(select count(*) from pg_prepared_xacts),
		(select stats_reset from pg_stat_database where datname = 'flights'),
		(select count(*) from pg_file_settings where name = 'work_mem'),
		(select pg_postmaster_start_time()), (select pg_conf_load_time())"
	ls /tmp/opsh-sql-corpus "$OPSH_PG_PRIMARY_DIR/opsh" 2>&1
}

# through NAME ARG...: opsh with the code; its output in $out, the part of the log
# that it made in $t_tmp/part.
through() {
	local from
	from=$(stat -c %s "$log")
	out=$(timeout -k 1 100 "$OPSH" "$@" </dev/null 2>"$t_tmp/err"); rc=$?
	t_is "what no call takes is refused" "$(grep 'not refused' <<<"$out")" ""
	tail -c "+$((from + 1))" "$log" >"$t_tmp/part"
}

lua5.4 -e 'io.write(dofile("tests/spec/sql_corpus.lua").setup)' |
	psql -Xq -v ON_ERROR_STOP=1 "$url" || exit 1
sql "create extension dblink; create extension adminpack"
sql "select pg_create_physical_replication_slot('opsh')" >/dev/null
cat >"$t_tmp/free.lua" <<EOF
return { environment = "test", targets = { db = "$url" } }
EOF
cat >"$t_tmp/protected.lua" <<EOF
return { environment = "production", protected = true,
  targets = { db = "$url" } }
EOF
code exec >"$t_tmp/exec.lua"
code query >"$t_tmp/query.lua"

before=$(state)
through --targets "$t_tmp/free.lua" plan -e "$(cat "$t_tmp/exec.lua")"
t_is "plan: exit" "$rc" 0
t_match "plan: each is withheld" "$out" "*done [1-9][0-9][0-9] refused 0*"
t_is "plan: nothing in the log" "$(sent "$t_tmp/part")" ""
t_is "plan: nothing changed" "$(state)" "$before"
t_match "plan: is shown" "$out" "*pg_logical_emit_message*"

through --targets "$t_tmp/free.lua" plan -e "$(cat "$t_tmp/query.lua")"
t_match "plan, by query: each is refused" "$out" "*done 0 refused [1-9][0-9][0-9]*"
t_is "plan, by query: nothing in the log" "$(sent "$t_tmp/part")" ""

for call in exec query; do
	through --targets "$t_tmp/protected.lua" -e "$(cat "$t_tmp/$call.lua")"
	t_match "read mode, by $call: each is refused" "$out" \
		"*done 0 refused [1-9][0-9][0-9]*"
	t_is "read mode, by $call: nothing in the log" "$(sent "$t_tmp/part")" ""
done
t_is "read mode: nothing changed" "$(state)" "$before"

# The witness sees what is sent.
through --targets "$t_tmp/free.lua" -e 'db:exec "select nextval('"'seq'"')"'
t_is "write mode: exit" "$rc" 0
t_is "write mode: the log has it" "$(sent "$t_tmp/part")" "select nextval('seq')"
t_ok "write mode: it changed" test "$(state)" != "$before"
through --targets "$t_tmp/free.lua" -e 'show(db:value "select count(*) from v")'
t_match "a view that reads is read" "$out" "*50*"
through --targets "$t_tmp/free.lua" -e 'db:query "select * from louder"'
t_is "a view that does more is refused" "$rc" 2
t_ok "... and not sent" eval '! grep -q "select \* from louder" "$t_tmp/part"'

# The standby: nothing promotes it, and what it refuses is refused before it is sent.
t_ok "the standby has it all" t_within 20 eval \
	'[ "$(sql "select count(*) from u" "$standby" 2>/dev/null)" = 50 ]'
sed "s|$url|$standby|" "$t_tmp/free.lua" >"$t_tmp/standby.lua"
sed "s|$url|$standby|" "$t_tmp/protected.lua" >"$t_tmp/standby-protected.lua"
log=$OPSH_PG_STANDBY_LOG
conf=$(sql "select pg_conf_load_time()" "$standby")
through --targets "$t_tmp/standby.lua" plan -e "$(cat "$t_tmp/exec.lua")"
t_match "standby, plan: what it would take is withheld" "$out" "*done [1-9]*"
t_is "standby, plan: nothing in the log" "$(sent "$t_tmp/part")" ""
through --targets "$t_tmp/standby.lua" -e "$(cat "$t_tmp/query.lua")"
t_match "standby, query: each is refused" "$out" "*done 0 refused [1-9][0-9][0-9]*"
t_is "standby, query: nothing in the log" "$(sent "$t_tmp/part")" ""
through --targets "$t_tmp/standby-protected.lua" -e "$(cat "$t_tmp/exec.lua")"
t_match "standby, read mode: each is refused" "$out" "*done 0 refused [1-9][0-9][0-9]*"
t_is "standby, read mode: nothing in the log" "$(sent "$t_tmp/part")" ""
t_is "it is a standby still" "$(sql "select pg_is_in_recovery()" "$standby")" t
t_is "its configuration was not read" \
	"$(sql "select pg_conf_load_time()" "$standby")" "$conf"
through --targets "$t_tmp/standby.lua" -e 'show(db:value "select count(*) from v")'
t_match "it is read" "$out" "*50*"
t_ok "its log has it" grep -q "select count.* from v" "$t_tmp/part"
t_done
