#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # Lua and SQL in quotes; names of test.sh
# postgres_backup_faults.sh: backups of a small database and what goes wrong: what is
# damaged is found, a full disk and a kill leave what was there, old ones are removed
# when that is allowed, plans write nothing; sessions, roles, versions, an
# orchestrator. Owns its databases and folders.
#     postgres_backup_faults.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/pg_backup.sh
. "$t_here/pg_backup.sh"

reading='^(select|with|begin|commit|rollback|savepoint|release|show|set )'

# backed: a backup of `small`, alone in $t_tmp/small; its folder in $dir.
backed() {
	rm -rf "$t_tmp/small"/*
	o run postgres/backup to="$t_tmp/small" --bind db=small
	exits 'a small backup' 0
	dir=$(backups "$t_tmp/small")
}

verify() {
	o run postgres/verify-backup from="$t_tmp/small" --bind db=small \
		--approve small "$@"
}

# sums DIR: as if nobody had touched it since.
sums() {
	python3 - "$1" <<-'EOT'
	import hashlib, json, os, sys
	os.chdir(sys.argv[1])
	m = json.load(open("manifest.json"))
	data = open("database.dump", "rb").read()
	m["dump_size"], m["sha256"] = len(data), hashlib.sha256(data).hexdigest()
	json.dump(m, open("manifest.json", "w"))
	with open("SHA256SUMS", "w") as f:
	    for name in "database.dump", "manifest.json":
	        print(hashlib.sha256(open(name, "rb").read()).hexdigest(), name,
	            sep="  ", file=f)
	EOT
}

damaged() {
	local n size
	backed
	size=$(stat -c %s "$dir/database.dump")
	cp -r "$dir" "$t_tmp/whole"
	again() { rm -rf "$dir"; cp -r "$t_tmp/whole" "$dir"; }
	flip() {
		python3 - "$dir/database.dump" "$1" <<-'EOT'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)[0]
		    f.seek(-1, 1)
		    f.write(bytes([byte ^ 16]))
		EOT
	}
	flip $((size / 2))
	verify
	exits 'a flipped byte' 15
	tells 'which is said' "*'database.dump' is not what was written*"
	verify restore=false
	exits 'without a restore too' 15
	o plan postgres/verify-backup from="$t_tmp/small" --bind db=small
	exits 'and in a plan' 3
	o run postgres/restore from="$t_tmp/small" --bind db=small --approve small
	exits 'restore refuses it' 3
	for n in 3 2; do	# within the compressed rows; its checksum made right
		again
		flip $((size * n / 4))
		sums "$dir"
		verify
		t_ok "a flipped byte under a right checksum, at $n/4" \
			test "$rc" -eq 1 -o "$rc" -eq 15
	done
	again
	truncate -s $((size - 1000)) "$dir/database.dump"
	verify
	exits 'a cut dump' 15
	tells 'is said to be cut' '*it is cut*'
	sums "$dir"
	verify
	t_ok 'a cut dump under a right checksum' test "$rc" -ne 0
	again
	sed -i 's/"rows": 20000/"rows": 20001/' "$dir/manifest.json"
	sums "$dir"
	verify
	exits 'rows that are not those of the manifest' 15
	tells 'are named' '*rows of public.t: 20000 in place of 20001*'
	o run postgres/restore from="$t_tmp/small" --bind db=small --approve small
	exits 'and restore swaps nothing' 15
	t_is 'no scratch database is left' "$(databases | tr ' ' '\n' |
		grep -c opsh_verify)" 0
	echo 'select datname from pg_database where datname ~ $$^small_new$$' |
		sql postgres | while read -r n; do
		echo "drop database \"$n\"" | sql postgres; done
	again
	verify
	exits 'the one that is whole' 0
	rm -r "$t_tmp/whole"
}

# retained: what is in the folder, by the age that its name says.
aged() {
	local stamp
	stamp=$(date -u -d "$2 days ago" +%Y-%m-%dT%H:%M:%SZ)
	cp -r "$1" "$t_tmp/small/small-$(date -u -d "$2 days ago" \
		+%Y%m%dT%H%M%SZ).pgbackup"
	sed -i "s/\"time\": \"[^\"]*\"/\"time\": \"$stamp\"/" \
		"$t_tmp/small/small-$(date -u -d "$2 days ago" +%Y%m%d)"*/manifest.json
}

retention() {
	local day
	backed
	mv "$dir" "$t_tmp/first"
	for day in 1 2 3 40 50; do aged "$t_tmp/first" "$day"; done
	touch "$t_tmp/small/mine.txt"
	mkdir "$t_tmp/small/other.pgbackup"
	o run postgres/backup to="$t_tmp/small" --bind db=small keep=2
	exits 'what would be removed is asked for' 14
	t_is 'before anything is done' "$(count "$t_tmp/small")" 7
	echo '{"ok":true,"time":"x"}' >"$(backups "$t_tmp/small" |
		grep "$(date -u -d '50 days ago' +%Y%m%d)")/verified.jsonl"
	echo x >"$(backups "$t_tmp/small" |
		grep "$(date -u -d '40 days ago' +%Y%m%d)")/not_ours"
	o run postgres/backup to="$t_tmp/small" --bind db=small keep=3 \
		--approve local
	exits 'with it' 0
	# today's, two of the young ones, one with a stranger's file, the verified one
	t_is 'those beyond are gone' "$(count "$t_tmp/small")" 7
	t_ok 'the last verified one stays' test -e "$(backups "$t_tmp/small" |
		grep "$(date -u -d '50 days ago' +%Y%m%d)")"
	t_ok 'one with a file of others stays' test -e "$(backups "$t_tmp/small" |
		grep "$(date -u -d '40 days ago' +%Y%m%d)")/not_ours"
	t_ok 'what is none of ours stays' test -d "$t_tmp/small/other.pgbackup" \
		-a -f "$t_tmp/small/mine.txt"
	t_is 'the third day is gone' "$(backups "$t_tmp/small" |
		grep -c "$(date -u -d '3 days ago' +%Y%m%d)")" 0
	o run postgres/backup to="$t_tmp/small" --bind db=small keep=1 days=30 \
		--approve local
	exits 'younger than days' 0
	t_is 'stay' "$(count "$t_tmp/small")" 8
	rm -r "$t_tmp/first"
}

# tool NAME SCRIPT: stands before the real program in $t_tmp/bin.
tool() {
	printf '#!/bin/bash\n%s\nexec %q "$@"\n' "$2" "$OPSH_POSTGRES_BIN/$1" \
		>"$t_tmp/bin/$1"
	chmod +x "$t_tmp/bin/$1"
}

full() {
	local before
	backed
	before=$(find "$t_tmp/small" -type f -exec sha256sum {} +)
	(
		ulimit -f 100
		o run postgres/backup to="$t_tmp/small" --bind db=small
		echo "$rc" >"$t_tmp/rc"
	)
	t_ok 'a limit is met in the dump' test "$(cat "$t_tmp/rc")" -ne 0
	tells 'which is said' '*disk full*1 older backups are as they were*'
	t_is 'the old backup is as it was, nothing else is there' \
		"$(find "$t_tmp/small" -type f -exec sha256sum {} +)" "$before"
	t_is 'no folder either' "$(count "$t_tmp/small")" 1
	mkdir "$t_tmp/disk"
	mount -t tmpfs -o size=160m none "$t_tmp/disk" 2>/dev/null || return 0
	cp -r "$dir" "$t_tmp/disk/"
	tool pg_dump 'case $* in *--format*) dd if=/dev/zero bs=1M \
		of='"$t_tmp/disk/filler"' 2>/dev/null ;; esac'
	tool pg_restore ''
	o run postgres/backup to="$t_tmp/disk" --bind db=small bin="$t_tmp/bin"
	exits 'the disk is full' 1
	tells 'and said so' '*disk full*No space left*1 older backups are as they were*'
	t_is 'the old one is there' "$(find "$t_tmp/disk" -name '*.pgbackup' | wc -l)" 1
	t_ok 'and right' env -C "$t_tmp/disk/${dir##*/}" sha256sum -c --quiet SHA256SUMS
	o run postgres/backup to="$t_tmp/disk" --bind db=small
	exits 'a disk that is full is seen before' 3
	tells 'with numbers' '*free, the dump of*may take*nothing was written*'
	umount "$t_tmp/disk"
}

# kill -9 while the dump is written.
killed() {
	local pid run
	backed
	rm -f "$t_tmp/once"
	tool pg_dump 'case $* in *--format*) [ -e '"$t_tmp/once"' ] || {
		touch '"$t_tmp/once"'; head -c 50000 /dev/zero; sleep 20; exit 1; } ;; esac'
	tool pg_restore ''
	"$opsh" --targets "$t_tmp/opsh.lua" run postgres/backup to="$t_tmp/small" \
		--bind db=small bin="$t_tmp/bin" </dev/null >"$out" 2>"$err" &
	pid=$!
	t_reap "$pid"
	t_ok 'the dump has begun' t_within 10 test -e "$t_tmp/once"
	t_within 5 test -n "$(find "$t_tmp/small" -size +40k -path '*opsh-*')"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	t_is 'no other backup under its name' "$(find "$t_tmp/small" -maxdepth 1 \
		-name '*.pgbackup' | wc -l)" 1
	t_is 'the snapshot is given up' "$(echo "select count(*) from pg_stat_activity
		where application_name = 'opsh' and state like 'idle in%'" | sql postgres)" 0
	run=$(find "$XDG_STATE_HOME/opsh/runs" -maxdepth 1 -name '01*' -printf '%f\n' |
		sort | tail -n 1)
	o unlock postgres-backup --lock "$(o --output jsonl locks
		sed -n 's/.*"id":"\([^"]*\)".*/\1/p' "$out")"
	o resume "$run"
	exits 'resumed' 0
	t_is 'the backup is there' "$(find "$t_tmp/small" -maxdepth 1 \
		-name '*.pgbackup' | wc -l)" 2
	verify
	exits 'and right' 0
	find "$t_tmp/small/" -path '*/opsh-*' -exec touch -d '2 hours ago' {} +
	o run postgres/backup to="$t_tmp/small" --bind db=small --approve local
	exits 'the next one' 0
	t_is 'removes what was left' "$(find "$t_tmp/small" -name 'opsh-*')" ''
}

# What plans leave in the server's log, and on disk.
plans() {
	local from before
	backed
	before=$(find "$t_tmp/small" -printf '%p %s %T@\n' | sort)
	from=$(wc -l <"$OPSH_POSTGRES_LOG")
	o plan postgres/backup to="$t_tmp/small" --bind db=small keep=1
	exits 'plan of backup' 0
	o plan postgres/verify-backup from="$t_tmp/small" --bind db=small
	exits 'plan of verify-backup' 0
	o plan postgres/restore from="$t_tmp/small" --bind db=small
	exits 'plan of restore' 0
	o --output jsonl plan postgres/restore from="$t_tmp/small" --bind db=small
	exits 'in jsonl' 0
	t_ok 'each line parses' python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$out"
	written() {
		tail -n +"$((from + 1))" "$OPSH_POSTGRES_LOG" | sed -nE \
			's/.*LOG:  (statement|execute [^:]*): +//p' | grep -viE \
			"$reading"
	}
	t_is 'no write is in the log' "$(written)" ''
	t_is 'nor on disk' "$(find "$t_tmp/small" -printf '%p %s %T@\n' | sort)" \
		"$before"
	o run postgres/restore from="$t_tmp/small" --bind db=small --approve small \
		into=copied
	t_ok 'the witness sees a run' test -n "$(written)"
	o run postgres/restore from="$t_tmp/small" --bind db=small --approve small \
		into=copied
	exits 'into= never replaces' 3
	echo 'drop database copied' | sql postgres
}

# Sessions, services, a role that may not, other versions.
others() {
	local pid
	backed
	PGPASSWORD=$OPSH_POSTGRES_SUPER_PASSWORD psql -X -h 127.0.0.1 -p \
		"$OPSH_POSTGRES_PORT" -U postgres small -c 'select pg_sleep(60)' \
		>/dev/null 2>"$t_tmp/session" &
	pid=$!
	t_reap "$pid"
	t_within 5 test "$(echo "select count(*) from pg_stat_activity where query
		like 'select pg_sleep(60)%'" | sql postgres)" = 1
	o run postgres/restore from="$t_tmp/small" --bind db=small --approve small
	exits 'a session is on it' 0
	tells 'is shown' '*sessions on*pid *psql (active)*'
	wait "$pid"
	t_match 'and ended' "$(cat "$t_tmp/session")" '*terminating connection*'
	o run postgres/backup to="$t_tmp/nowhere" --bind db=small
	exits 'no folder' 3
	tool pg_dump 'echo "pg_dump (PostgreSQL) 9.6.1"; exit'
	o run postgres/backup to="$t_tmp/small" --bind db=small bin="$t_tmp/bin"
	exits 'an old pg_dump' 3
	tells 'which is said' '*pg_dump 9.6.1 is older than the server*'
	o run postgres/backup to="$t_tmp/b" --bind db=ops
	exits 'an ordinary user backs up' 0
	o run postgres/verify-backup from="$t_tmp/b" database=flights --bind db=ops \
		--approve ops
	exits 'and can not make its extension again' 3
	tells 'which is said before anything' '*extension*wants a superuser*'
	o run postgres/backup to="$t_tmp/b" --bind db=small
	o run postgres/restore from="$t_tmp/b" --bind db=small
	exits 'backups of several' 3
}

# The programs by an orchestrator's exec; services are down for the swap only.
through() {
	local pid
	rm -rf "$t_tmp/small"/*
	o -e 'orchestrator:start "app"'
	exits 'a service' 0
	read -r pid _ <"$t_tmp/app.pid"
	t_reap "$pid"
	o run postgres/backup to="$t_tmp/small" --bind db=small service=app
	exits 'backup by exec' 0
	verify service=app
	exits 'verify-backup by exec' 0
	o run postgres/restore from="$t_tmp/small" --bind db=small stop=app \
		--approve small
	exits 'services are asked for' 14
	t_ok 'it runs' kill -0 "$pid"
	o run postgres/restore from="$t_tmp/small" --bind db=small stop=app \
		service=app --approve small --approve orchestrator
	exits 'restore by exec' 0
	t_ok 'the service was stopped' t_gone "$pid"
	read -r pid _ <"$t_tmp/app.pid"
	t_reap "$pid"
	t_ok 'and runs again' kill -0 "$pid"
}

prepare
for test in ${*:-damaged retention full killed plans others through}; do "$test"; done
t_done
