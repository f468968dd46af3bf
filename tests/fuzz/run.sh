#!/bin/bash
# run.sh [RUNS]: each fuzz target for so many executions (10^5), from a fixed seed
# and an empty corpus (SQL: from the spellings of its spec), two at a time; a crash
# leaves its input in build/logs.
# Last line: N passed, N failed.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
runs=${1:-100000}
mkdir -p build/logs
one() {
	local name=${1##*/} seeds=()
	if [ "$name" = fuzz_sql ]; then
		rm -rf build/fuzz/seeds && mkdir -p build/fuzz/seeds/sql
		lua5.4 tests/fuzz/sql_seeds.lua build/fuzz/seeds/sql || return
		seeds=(-dict=build/fuzz/seeds/sql.dict build/fuzz/seeds/sql)
	fi
	if "$1" -runs="$2" -seed=1 -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
		-artifact_prefix="build/logs/$name-" -verbosity=0 -close_fd_mask=1 "${seeds[@]}" \
		> "build/logs/$name.log" 2>&1; then
		echo "ok $name $2"
	else
		echo "not ok $name"
		tail -n 40 "build/logs/$name.log"
	fi
}
export -f one
export ASAN_OPTIONS=detect_leaks=1
out=$(printf '%s\n' build/fuzz/fuzz_* | grep -v '\.' |
	xargs -P 2 -I{} bash -c 'one "$1" "$2"' _ {} "$runs")
printf '%s\n' "$out"
passed=$(printf '%s\n' "$out" | grep -c '^ok ')
failed=$(printf '%s\n' "$out" | grep -c '^not ok ')
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
