#!/usr/bin/env bash
# shellcheck disable=SC2154 # names of test.sh
# run.sh [--accept] [NAME...]: runs each NAME.cmd (bash, in a throwaway folder,
# `opsh` is the program) and compares what it prints with NAME.out, in which run
# ids, times, hashes, ports and paths are fixed words. --accept writes NAME.out
# instead: look at what git says has changed. Owns a throwaway Redis and folder.
# Last line: N passed, N failed.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

golden=$t_root/tests/golden
program=${OPSH:-$t_root/build/release/opsh}
accept=
[ -x "$program" ] || { echo "'$program' is not built" >&2; exit 1; }
if [ "${1:-}" = --accept ]; then
	accept=yes
	shift
fi

opsh() {
	timeout -k 1 20 "$program" "$@" </dev/null
}

# What differs from run to run and from machine to machine, as fixed words. The
# words of a table's cells are as wide as what they stand for.
fixed() {
	sed -E \
		-e "s,$t_tmp,TMP,g" -e "s|, $t_root/playbooks||" \
		-e "s,$t_root,ROOT,g" \
		-e "s/127\.0\.0\.1:$OPSH_REDIS_PORT/127.0.0.1:PORT/g" \
		-e 's/01[0-9A-HJKMNP-TV-Z]{24}/RUN-----------------------/g' \
		-e "s/\b[0-9a-f]{64}\b/HASH$(printf '%060d' 0 | tr 0 -)/g" \
		-e 's/run_id=[0-9a-f]{40}/run_id=ID--------------------------------------/g' \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}/DATE-------TIME----/g' \
		-e 's/TIME----\.[0-9]+Z/TIME----.mmmZ/g' \
		-e 's/(after |\()([0-9]+ ms|[0-9]+\.[0-9] s)\b/\1N ms/g' \
		-e 's/\+[0-9]+\.[0-9]{3}/+N.NNN/g' -e 's/\b0\.[0-9]{3}\b/N.NNN/g' \
		-e 's/"(duration|seconds|at)":[0-9.e-]+/"\1":N/g' \
		-e 's/opsh [0-9]+\.[0-9]+\.[0-9]+/opsh VERSION/'
}

# one NAME: each in a folder of its own.
one() {
	local name=$1 got=$t_tmp/got
	rm -rf "$t_tmp/work" "$t_tmp/state"
	mkdir "$t_tmp/work"
	cp -R "$golden/playbooks" "$t_tmp/work"
	redis-cli -p "$OPSH_REDIS_PORT" flushall >/dev/null
	(
		cd "$t_tmp/work" || exit 1
		# shellcheck source=/dev/null
		. "$golden/$name.cmd"
	) 2>&1 | fixed >"$got"
	if [ -n "$accept" ]; then
		cp "$got" "$golden/$name.out"
		t_pass
	elif diff -u "$golden/$name.out" "$got" >"$t_tmp/diff" 2>&1; then
		t_pass
	else
		t_fail "$name" "$(cat "$t_tmp/diff")"
	fi
}

unset CI OPSH_LOG NO_COLOR CLICOLOR_FORCE COLUMNS
export XDG_STATE_HOME=$t_tmp/state XDG_DATA_HOME=$t_tmp/data HOME=$t_tmp
export LC_ALL=C.UTF-8
t_up redis
unset OPSH_TARGETS
export CACHE=cache=$OPSH_REDIS_URL
if [ $# -eq 0 ]; then
	for file in "$golden"/*.cmd; do
		file=${file##*/}
		set -- "$@" "${file%.cmd}"
	done
fi
for name in "$@"; do
	one "$name"
done
t_done
