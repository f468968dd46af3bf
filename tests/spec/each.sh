#!/bin/bash
# each.sh PROGRAM FILE...: spec files, each in a process of its own: what one has
# loaded is not the next one's to collect, which under constant collection is most of
# the time. Says what they say, the sum last: N passed, N failed, N skipped. A
# process that ends without its sum, or badly, is a failure.
set -u
program=$1 passed=0 failed=0 skipped=0
shift
here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
out=$(mktemp "${TMPDIR:-/tmp}/opsh-each.XXXXXX") || exit 1
trap 'rm -f -- "$out"' EXIT
trap 'exit 143' TERM INT HUP

for file; do
	"$program" --spec "$here/harness.lua" "$file" > "$out" 2>&1
	rc=$?
	sum=$(grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$out" | tail -n 1)
	grep -avF -- "${sum:-no sum}" "$out"
	read -r p _ f _ s _ <<< "${sum//,/}"
	if [ -z "$sum" ] || { [ "$rc" -ne 0 ] && [ "${f:-0}" -eq 0 ]; }; then
		echo "FAILED $file: ended with $rc${sum:+ though none failed}"
		f=$((${f:-0} + 1))
	fi
	passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
	skipped=$((skipped + ${s:-0}))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
