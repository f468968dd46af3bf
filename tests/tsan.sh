#!/usr/bin/env bash
# tsan.sh [FILE...]: the specs of what has threads beside the loop, in a program with
# ThreadSanitizer (make MODE=tsan all): Kafka's, whose library has threads of its own,
# and those that use the pool; against a broker of examples/stack. A race that it
# sees fails the run. Last line: N passed, N failed.
set -u
cd -- "$(dirname -- "$0")/.." || exit 1
[ $# -gt 0 ] || set -- tests/spec/kafka*_spec.lua tests/spec/fs_spec.lua \
	tests/spec/fs_pack_spec.lua tests/spec/timer_spec.lua
state=$(mktemp -d "${TMPDIR:-/tmp}/opsh-tsan.XXXXXX") || exit 1
trap 'rm -rf -- "$state"' EXIT
trap 'exit 143' TERM INT HUP
export XDG_STATE_HOME=${XDG_STATE_HOME:-$state}
export TSAN_OPTIONS="suppressions=tests/lib/tsan.supp print_suppressions=0 \
exitcode=66 second_deadlock_stack=1 report_thread_leaks=0"
examples/stack/stack run kafka -- build/tsan/opsh --spec tests/spec/harness.lua "$@"
