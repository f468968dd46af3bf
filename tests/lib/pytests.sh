#!/usr/bin/env bash
# pytests.sh FILE...: runs these test programs; what a failing one printed is
# shown, their last lines are summed. One that ends without its line, or with
# another exit code than it says, counts as failed. Owns nothing but a file of
# output. Last line: N passed, N failed.
set -u
passed=0 failed=0
export PYTHONDONTWRITEBYTECODE=1
out=$(mktemp "${TMPDIR:-/tmp}/opsh-run.XXXXXX") || exit 1
trap 'rm -f -- "$out"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for file in "$@"; do
	/usr/bin/python3 "$file" >"$out" 2>&1 </dev/null
	rc=$?
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed' "$out" | tail -n 1)
	printf '%s: %s\n' "${file##*/}" "${line:-no result, exit $rc}"
	p=${line%% *} f=${line#*, }
	f=${f%% *}
	if [ -z "$line" ] || { [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; }; then
		f=1
	fi
	[ "$f" -eq 0 ] || sed "s/^/    /" "$out"
	passed=$((passed + ${p:-0})) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
