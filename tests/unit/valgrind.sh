#!/bin/bash
# valgrind.sh: the core's specs under valgrind: no error, nothing definitely lost,
# every file descriptor of ours closed. Slow: the asan suite covers the rest.
# Last line: N passed, N failed.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
passed=0 failed=0
# Not child: valgrind's posix_spawn can't tell that an exec failed.
for spec in task task_cancel co effect effect_record step env timer redis_values; do
	file=tests/spec/${spec}_spec.lua
	[ -e "$file" ] || { echo "FAILED no $file"; failed=$((failed + 1)); continue; }
	if out=$(valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
		--error-exitcode=99 --child-silent-after-fork=yes build/test/opsh \
		--spec tests/spec/harness.lua "$file" 2>&1); then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'FAILED %s under valgrind\n%s\n' "$spec" "$out"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
