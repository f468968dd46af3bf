#!/usr/bin/env bash
# shellcheck disable=SC2154 # names of test.sh and of the stack
# postgres_corruption.sh: postgres/corruption on a real primary: a damaged block is
# found by each look, the folder is copied while the server is stopped, pg_resetwal
# works on a copy first; a plan and a run without a terminal change nothing.
# Owns its folders. Last line: N passed, N failed.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/opsh.sh
. "$t_here/opsh.sh"

unset OPSH_TARGETS ${!PG*}
export USER=ada
reading='^(select|with|begin|commit|rollback|savepoint|release|show|set )'

count() { find "$1" -mindepth 1 -maxdepth 1 | wc -l; }

# c ARG...: corruption of the primary.
c() {
	timeout -k 1 120 "$opsh" --targets "$t_tmp/stack/opsh.lua" "$@" \
		db=pg_primary_super service=primary log="$OPSH_PG_PRIMARY_LOG" \
		--bind orchestrator=pg_units </dev/null >"$out" 2>"$err"
	rc=$?
}

primary() {
	timeout -k 1 60 "$opsh" --targets "$t_tmp/stack/opsh.lua" --approve pg_units \
		-e "pg_units:$1 'primary'" </dev/null >/dev/null 2>&1
}

psql_primary() {
	PGOPTIONS='-c log_statement=none' timeout 20 psql -XqAt \
		"$OPSH_PG_PRIMARY_SUPER_URL" -c "$1"
}

up() { psql_primary 'select 1' >/dev/null 2>&1; }

served() { sed -n 1p "$OPSH_PG_PRIMARY_DIR/postmaster.pid" 2>/dev/null; }

# flip FILE: a bit of its second block, or it back.
flip_block() {
	python3 - "$1" <<-'EOT'
	import sys
	with open(sys.argv[1], "r+b") as f:
	    f.seek(8192 + 8000)
	    byte = f.read(1)[0]
	    f.seek(-1, 1)
	    f.write(bytes([byte ^ 64]))
	EOT
}

corruption() {
	local pid file from copied checkpoint
	psql_primary "create extension amcheck; create table victim as
		select n, md5(n::text) from generate_series(1, 5000) n; checkpoint"
	mkdir "$t_tmp/rescue"
	c run postgres/corruption
	exits 'a sound one' 0
	t_is 'nothing bad' "$(grep -c ' bad ' "$out")" 0
	t_match 'every look was taken' "$(cat "$out")" "*amcheck *ok$(
		)*all rows read *ok*data checksums *ok*checksum failures *ok*log *ok*"
	pid=$(served)
	from=$(wc -l <"$OPSH_PG_PRIMARY_LOG")
	c plan postgres/corruption to="$t_tmp/rescue" reset_wal=copy
	exits 'plan' 0
	t_match 'names the stop and the copy' "$(cat "$out")" '*cp -a *'
	t_is 'the same process serves' "$(served)" "$pid"
	t_is 'nothing is copied' "$(count "$t_tmp/rescue")" 0
	t_is 'no write is in the log' "$(tail -n +"$((from + 1))" \
		"$OPSH_PG_PRIMARY_LOG" | grep "@flights \(opsh\|pg_\)" |
		sed -nE 's/.*LOG:  (statement|execute [^:]*): +//p' | grep -viE \
		"$reading|^(copy [^;]* to stdout|lock table|prepare|execute|deallocate)")" ''
	c run postgres/corruption to="$t_tmp/rescue"
	exits 'no terminal' 14
	t_is 'and it serves' "$(served)" "$pid"
	file=$OPSH_PG_PRIMARY_DIR/$(psql_primary "select pg_relation_filepath('victim')")
	primary stop
	flip_block "$file"
	primary start
	t_ok 'it runs with a damaged block' t_within 20 up
	c run postgres/corruption
	exits 'damage' 1
	t_match 'is found by each look' "$(cat "$out")" "*amcheck *bad$(
		)*all rows read *bad *invalid page*checksum failures *bad *log *bad *"
	tells 'and said' '*signs of damage*'
	pid=$(served)
	c run postgres/corruption to="$t_tmp/rescue" --approve pg_units
	exits 'stopped, copied, checked' 0
	t_match 'the bad block is found in the copy' "$(cat "$out")" \
		'*page checksums *bad *1 of *blocks are bad*'
	copied=$(sed -n 's/^copy *//p' "$out")
	t_ok 'the copy is there' test -f "$copied/PG_VERSION"
	t_ok 'the server was started again' t_within 20 up
	t_ok 'as another process' test "$(served)" != "$pid"
	# its WAL is gone: it does not start
	primary stop
	flip_block "$file"
	find "$OPSH_PG_PRIMARY_DIR/pg_wal" -maxdepth 1 -type f -delete
	c run postgres/corruption to="$t_tmp/rescue" reset_wal=copy \
		data="$OPSH_PG_PRIMARY_DIR"
	exits 'pg_resetwal: no terminal' 14
	c run postgres/corruption to="$t_tmp/rescue" reset_wal=copy --approve local \
		data="$OPSH_PG_PRIMARY_DIR"
	exits 'on the copy' 0
	t_match 'which can be read then' "$(cat "$out")" \
		"*start of the copy *ok *all rows of 'flights' *ok *can be read*"
	checkpoint=$(sed -n 's/^checkpoint *//p' "$out")
	t_is 'the data is as it was' "$(find "$OPSH_PG_PRIMARY_DIR/pg_wal" \
		-maxdepth 1 -type f | wc -l)" 0
	c run postgres/corruption to="$t_tmp/rescue" reset_wal=data --approve local \
		data="$OPSH_PG_PRIMARY_DIR"
	exits 'the data: not without its checkpoint' 3
	tells 'which is named' "*accept=$checkpoint*"
	c run postgres/corruption to="$t_tmp/rescue" reset_wal=data \
		accept="$checkpoint" --approve local data="$OPSH_PG_PRIMARY_DIR"
	exits 'with it' 0
	t_ok 'it serves again' t_within 20 up
	t_is 'with its rows' "$(psql_primary 'select count(*) from victim')" 5000
}

t_up postgres-ha
corruption
t_done
