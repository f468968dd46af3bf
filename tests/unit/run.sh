#!/bin/bash
# run.sh DIR: every unit test of DIR (cmocka programs); sums what they print.
# One that crashes counts as failed. Builds nothing. Last line: N passed, N
# failed.
set -u
passed=0 failed=0
for t in "$1"/test_*; do
	[ -x "$t" ] && [ "${t%.d}" = "$t" ] || continue
	out=$(timeout -k 5 120 "$t" 2>&1)
	rc=$?
	p=$(printf '%s\n' "$out" | grep -cE '^\[ +OK +\]')
	f=$(printf '%s\n' "$out" | grep -cE '^\[  FAILED  \] [a-z_0-9]+$')
	if [ "$rc" -ne 0 ]; then
		[ "$f" -gt 0 ] || f=1
		printf 'FAILED %s (exit %d)\n%s\n' "$t" "$rc" "$out"
	fi
	passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
