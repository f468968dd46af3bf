# shellcheck shell=bash disable=SC2034,SC2154 # names shared with those who source it
# pg_backup.sh: what the live tests of backups share: a server with a small database,
# targets of all databases (that with the odd name is made by who needs it), opsh on
# them, the folders for backups. Source it after test.sh. Must not judge.

# shellcheck source=opsh.sh
. "$t_here/opsh.sh"
unset OPSH_TARGETS ${!PG*}
export USER=ada
odd='-Odd "Näme'"'"' x'

# o ARG...: opsh; output in $out and $err, exit code in $rc.
o() {
	timeout -k 1 120 "$opsh" --targets "$t_tmp/opsh.lua" "$@" </dev/null \
		>"$out" 2>"$err"
	rc=$?
	[ -z "${OPSH_TEST_TIMES:-}" ] || grep -aE '^(ok|failed|run) ' "$err" >&2
}

# sql DATABASE: SQL of the input, as the superuser, unlogged.
sql() {
	PGPASSWORD=$OPSH_POSTGRES_SUPER_PASSWORD PGOPTIONS='-c log_statement=none' \
		PGHOST=127.0.0.1 PGPORT=$OPSH_POSTGRES_PORT PGUSER=postgres \
		PGDATABASE=$1 timeout -k 1 60 psql -X -q -A -t -v ON_ERROR_STOP=1
}

databases() {
	echo "select datname from pg_database order by 1" | sql postgres | tr '\n' ' '
}

backups() { find "$1" -mindepth 1 -maxdepth 1 | sort; }
count() { backups "$1" | wc -l; }

# prepare: the server, the targets, the small database; folders b, small and bin.
prepare() {
	t_up postgres
	mkdir "$t_tmp/b" "$t_tmp/small" "$t_tmp/bin"
	cat >"$t_tmp/opsh.lua" <<-EOT
	local at = "postgresql://postgres@127.0.0.1:$OPSH_POSTGRES_PORT"
	local password = secret.file "$OPSH_POSTGRES_SUPER_PASSWORD_FILE"
	return { targets = {
	  db = { kind = "postgres", url = at, password = password,
	    database = [[$odd]] },
	  small = { kind = "postgres", url = at .. "/small", password = password },
	  ops = { kind = "postgres", url = "$OPSH_POSTGRES_URL" },
	  orchestrator = { kind = "local", services = { app = {
	    command = { "sleep", "600" }, pid = "$t_tmp/app.pid",
	    log = "$t_tmp/app.log", env = { PGHOST = "127.0.0.1",
	      PGPORT = "$OPSH_POSTGRES_PORT", POSTGRES_PASSWORD = password,
	      PATH = "$OPSH_POSTGRES_BIN:$PATH" } } } },
	} }
	EOT
	echo 'create database small owner ops' | sql postgres
	sql small <<-SQL
	create table t (n int primary key, x text);
	insert into t select n, md5(n::text) from generate_series(1, 20000) n;
	create table u (n int references t);
	insert into u select n from generate_series(1, 100) n;
	SQL
}
