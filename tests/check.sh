#!/bin/sh
# check.sh: the static checks of `make check`: the lint with its own test,
# luacheck, cppcheck with the build's flags, clang-tidy when CLANG_TIDY=1. Changes
# nothing in the tree. Last line: N passed, N failed.
set -u
cd "$(dirname "$0")/.." || exit 2

passed=0
failed=0
out=$(mktemp "${TMPDIR:-/tmp}/opsh-check.XXXXXX") || exit 2
trap 'rm -f "$out"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A program that counts its checks itself, in its last line.
counted() {
	"$@" >"$out" 2>&1
	status=$?
	last=$(tail -n 1 "$out")
	sed '$d' "$out"
	case $last in
	*[0-9]' passed, '[0-9]*' failed')
		passed=$((passed + ${last%% *}))
		n=${last#* passed, }
		failed=$((failed + ${n%% *}))
		;;
	*)
		printf '%s\nnot ok: %s (exit %d)\n' "$last" "$*" "$status"
		failed=$((failed + 1))
		;;
	esac
}

# A program that is one check: NAME, then the command.
once() {
	name=$1
	shift
	if "$@" >"$out" 2>&1; then
		passed=$((passed + 1))
	else
		cat "$out"
		echo "not ok: $name"
		failed=$((failed + 1))
	fi
}

flags="-D_GNU_SOURCE -DOPSH_VERSION=\"x\" -Isrc $(pkg-config \
	--cflags lua5.4)"

counted lua5.4 tests/lint/lint_test.lua
counted lua5.4 src/tools/lint.lua .

folders=
for folder in lua playbooks examples src/tools tests/spec tests/lint tests/bench
do
	[ ! -d "$folder" ] || folders="$folders $folder"
done
# shellcheck disable=SC2086
once luacheck luacheck --no-color --quiet $folders

# LLONG_MAX: luaconf.h asks for it, and system headers are not read here.
analyse() {
	# shellcheck disable=SC2086
	cppcheck --std=c11 --enable=warning,performance,portability --quiet \
		--inline-suppr --error-exitcode=1 --suppress=missingInclude \
		--suppress=missingIncludeSystem --suppress='*:/usr/include/*' \
		--template='{file}:{line}: {severity}: {message} [{id}]' \
		-DLLONG_MAX=9223372036854775807LL $flags "$@"
}
once cppcheck analyse -UOPSH_TEST src
once 'cppcheck, test build' analyse -DOPSH_TEST src/main.c src/core src/run

if [ "${CLANG_TIDY:-}" = 1 ]; then
	for file in $(find src -name '*.c' | sort); do
		# shellcheck disable=SC2086
		once "clang-tidy $file" clang-tidy --quiet --warnings-as-errors='*' \
			--checks='-*,clang-analyzer-*,bugprone-sizeof-*,bugprone-use-*' \
			"$file" -- -std=c11 $flags
	done
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
