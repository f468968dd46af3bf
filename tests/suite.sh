#!/bin/bash
# suite.sh [GROUP...]: every test, in groups with one line each and the sum at the
# end ("N passed, N failed"). A group's output is in build/logs/GROUP.log; of a failed
# one the end is shown. Groups of different lanes run side by side: two cores are all
# that it asks. Needs what `make build-test` builds. Groups by name: tests/suite.sh
# spec fault
set -u
cd -- "$(dirname -- "$0")/.." || exit 1

LOGS=build/logs
mkdir -p "$LOGS"
only=" $* "
XDG_STATE_HOME=$(mktemp -d "${TMPDIR:-/tmp}/opsh-suite.XXXXXX") || exit 1
export XDG_STATE_HOME
results=$XDG_STATE_HOME/results
mkdir "$results"
building=''			# processes beside this one
lanes=''
trap stop EXIT
trap 'exit 130' INT TERM HUP
unset OPSH_TARGETS

# Nothing that was begun outlives the suite.
stop() {
	local pid
	for pid in $lanes; do
		pkill -TERM -P "$pid"
		kill "$pid" 2> /dev/null
	done
	[ -z "$building" ] || kill "$building" 2> /dev/null
	rm -rf -- "$XDG_STATE_HOME"
}

# group NAME SECONDS COMMAND...: counts its last "N passed, N failed[, N skipped]";
# a group without such a line, or with another exit status than it says, is
# broken.
group() {
	local name=$1 limit=$2 rc line t0=$SECONDS p f s
	shift 2
	if [ "$only" != "  " ] && [ "${only#* "$name" }" = "$only" ]; then
		return
	fi
	timeout -k 10 "$limit" "$@" > "$LOGS/$name.log" 2>&1 < /dev/null
	rc=$?
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed' "$LOGS/$name.log" | tail -n 1)
	p=$(printf %s "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
	f=$(printf %s "$line" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
	s=$(printf %s "$line" | sed -n 's/.* \([0-9]*\) skipped.*/\1/p')
	printf '%-18s %s (%d s)\n' "$name" "${line:-no result, exit $rc}" \
		$((SECONDS - t0))
	if [ -z "$line" ] || { [ "$rc" -ne 0 ] && [ "${f:-0}" -eq 0 ]; }; then
		f=$((${f:-0} + 1))
	fi
	echo "${p:-0} ${f:-0} ${s:-0}" > "$results/$name"
	if [ "$rc" -ne 0 ] || [ "${f:-0}" -ne 0 ]; then
		grep -aE '^FAILED|^not ok|Error|ERROR' "$LOGS/$name.log" | head -n 40
		tail -n 25 "$LOGS/$name.log" | sed 's/^/    /'
	fi
}

SERVERS="postgres postgres-ha redis redis-tls redis-ha redis-cluster nginx rabbitmq
	prometheus kafka"
ASAN="ASAN_OPTIONS=detect_leaks=1:abort_on_error=0
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
	LSAN_OPTIONS=suppressions=tests/lib/lsan.supp:print_suppressions=0"
BOUNDS="tests/fault/http_test.py tests/fault/http_load_test.py
	tests/fault/process_test.py"

# spec NAME SECONDS MODE POINTS PROGRAM...: all specs against real servers, by a
# program that takes their files.
spec() {
	local name=$1 limit=$2 mode=$3 points=$4
	shift 4
	# shellcheck disable=SC2086
	group "$name" "$limit" env $ASAN OPSH_SPEC_MODE="$mode" \
		OPSH_SPEC_POINTS="$points" examples/stack/stack run $SERVERS -- "$@" \
		tests/spec/*_spec.lua
}

# beside FUNCTION...: all at once; each says its groups as they end.
beside() {
	local lane
	for lane; do
		"$lane" &
		lanes="$lanes $!"
	done
	# shellcheck disable=SC2086
	wait $lanes
	lanes=
}

specs() {
	spec spec 900 "" 0 build/asan/opsh --spec tests/spec/harness.lua
	# a process each: what is loaded is collected at every step
	spec spec-gc 1500 gc 0 tests/spec/each.sh build/test/opsh
	group tsan 400 tests/tsan.sh
}

# A tenth of a second more or less is nothing to these.
slow() {
	group fuzz 900 nice tests/fuzz/run.sh 10000
	group stack 400 tests/lib/stack_test.sh
	group stack-pg 300 tests/lib/stack_pg_test.sh
	group stack-kafka 500 tests/lib/stack_kafka_test.sh
	spec spec-alloc 1800 alloc 6 build/asan/opsh --spec tests/spec/harness.lua
}

# Kubernetes takes ten minutes to build when nothing of Go's is cached: with what the
# others leave of the cores, and its tests come last.
kube_build() {
	[ "$only" = "  " ] && command -v go > /dev/null || return
	timeout -k 10 1800 nice -n 19 examples/stack/lib/kube-build.sh \
		examples/stack/kube "$PWD/build/kube" > "$LOGS/kube-build.log" 2>&1 &
	building=$!
}

faults() {
	group fault 900 tests/fault/run.sh
	group pty 600 tests/pty/run.sh
	group services 600 tests/live/services.sh
	group breaker 300 tests/live/breaker.sh
	group kafka-dlq 200 tests/live/kafka_dlq.sh
	group lock 400 tests/live/lock.sh
	group kafka-faults 400 env OPSH_FAULTS_MB=200 tests/live/kafka_faults.sh
}

live() {
	group live 1500 tests/live/all.sh
}

systems() {
	group rabbitmq 400 tests/live/rabbitmq.sh
	group failover 600 tests/live/failover.sh
	group failover-patroni 300 tests/live/failover_patroni.sh
	group valgrind 600 examples/stack/stack run redis redis-tls -- \
		tests/unit/valgrind.sh
	# the bounds of memory once more, with the allocator that users have
	# shellcheck disable=SC2086
	group bounds 200 env OPSH_TEST="$PWD/build/release/opsh" tests/fault/run.sh \
		$BOUNDS
	group golden 120 tests/golden/run.sh
	group help 120 tests/help_test.sh
	group readme 120 tests/live/readme.sh
	group install 120 tests/live/install.sh
	group resume 180 tests/live/resume.sh
	group kafka-cancel 100 tests/live/kafka_cancel.sh
	group kubernetes 1500 tests/live/kubernetes.sh
}

group check 600 tests/check.sh
# shellcheck disable=SC2086
group unit 300 env $ASAN tests/unit/run.sh build/asan/unit
kube_build
beside slow specs
beside faults live systems	# they wait most of the time

passed=0 failed=0 skipped=0
for file in "$results"/*; do
	[ -f "$file" ] || continue
	read -r p f s < "$file"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
if [ "$skipped" -gt 0 ] && [ "${CI:-}" = true ]; then
	echo "skipped tests are failures in CI"
	failed=$((failed + skipped))
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
