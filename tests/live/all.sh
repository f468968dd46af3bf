#!/usr/bin/env bash
# all.sh: the live tests: run.sh, what the shipped playbooks promise, cli_test.sh,
# the command line, and the scripts of single parts. What they print is shown, their
# last lines are summed; one that ends without its line, or with another exit code
# than it says, counts as failed. Last line: N passed, N failed.
set -u
here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
passed=0 failed=0
out=$(mktemp "${TMPDIR:-/tmp}/opsh-live.XXXXXX") || exit 1
trap 'rm -f -- "$out"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for test in run.sh cli_test.sh tls.sh compose.sh monitoring.sh sale.sh kafka.sh \
	postgres_plan.sh postgres.sh postgres_backup.sh \
	postgres_backup_faults.sh postgres_corruption.sh; do
	"$here/$test" >"$out" 2>&1 </dev/null
	rc=$?
	sed '$d' "$out"
	line=$(tail -n 1 "$out" | grep -E '^[0-9]+ passed, [0-9]+ failed')
	printf '%s: %s\n' "$test" "${line:-no result, exit $rc}"
	p=${line%% *} f=${line#*, }
	f=${f%% *}
	if [ -z "$line" ] || { [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; }; then
		tail -n 20 "$out"
		f=1
	fi
	passed=$((passed + ${p:-0})) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
