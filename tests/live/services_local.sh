# shellcheck shell=bash disable=SC2154 # names of services.sh
# services_local.sh: the playbooks of services/ on processes of this machine, for
# services.sh: found, started, restarted under a guard; a plan touches no process.
# Owns the processes of its stack, in a throwaway folder; must not need root.

# process NAME: number and start of what runs as this service.
process() {
	local pid
	read -r pid _ <"$OPSH_BOOKING_DIR/$1.pid" &&
		ps -o pid=,lstart= -p "$pid"
}

processes() {
	local name
	for name in gateway booking payment catalogue seats; do
		echo "$name $(process "$name")"
	done
}

local_found_and_started() {
	local pid before
	o run services/health
	exits 'local: all well' 0
	read -r pid _ <"$OPSH_BOOKING_DIR/payment.pid"
	kill -KILL "$pid"
	t_ok 'payment is gone' t_within 5 t_gone "$pid"
	before=$(processes | grep -v payment)
	o run services/health
	exits 'local: one down, one that needs it' 1
	says 'which' '1 of 5 down: payment · 1 degraded: booking*'
	o run services/triage
	says 'where to begin' \
		'begin with payment: *next: opsh run services/restart service=payment*'
	o run services/restart service=payment watch=0
	exits 'what does not run is started without a guard' 0
	says 'well again' '*payment Died (0 of 1 ready) healthy (1 of 1 ready) up*'
	t_is 'the others were left alone' "$(processes | grep -v payment)" "$before"
	o run services/health
	exits 'local: all well again' 0
}

local_restarted() {
	local before
	before=$(process seats)
	o run services/restart service=seats
	exits 'local: a restart of what runs needs a guard' 14
	t_is 'nothing was restarted' "$(process seats)" "$before"
	o run services/restart service=seats watch=0 --approve orchestrator
	exits 'local: with it' 0
	t_ok 'another process' test "$(process seats)" != "$before"
	o run services/rolling-restart service=seats --approve orchestrator
	exits 'local: a roll of one process is refused' 3
	tells 'without a hint to what it can not do' "*'seats' is one process*"
	o run services/scale service=seats replicas=2
	exits 'local: a process is one' 2
	tells 'says so' '*a service is one process*'
	o run services/logs service=seats tail=2
	says 'local: logs' '*Ready to accept connections*'
	o run services/resources only=seats all=true
	says 'local: resources' '*seats memory*'
}

local_plans() {
	local before args
	before=$(processes; files "$PWD" "$OPSH_BOOKING_DIR"/*.pid \
		"$OPSH_BOOKING_DIR"/*.conf)
	for args in services/health services/triage 'services/triage service=payment' \
		'services/restart service=payment,seats' 'services/logs tail=3' \
		'services/logs export=planned.txt' services/resources; do
		# shellcheck disable=SC2086 # words on purpose
		plan_only $args
	done
	t_is 'local plans: processes and files are as they were' "$(processes
		files "$PWD" "$OPSH_BOOKING_DIR"/*.pid "$OPSH_BOOKING_DIR"/*.conf)" \
		"$before"
	# the witness sees what a run does
	traced "$opsh" --approve orchestrator -e 'orchestrator:stop "seats"'
	t_match 'the witness sees a run' "$rc $(writing)" '0 *ran /bin/sh -c *kill -s*'
}

services_on_this_machine() {
	"$t_stack" up "$t_tmp/booking" booking || { t_fail 'booking is up'; return; }
	set -a
	# shellcheck source=/dev/null
	. "$t_tmp/booking/env"
	set +a
	export OPSH_TARGETS=$OPSH_BOOKING_TARGETS
	local_found_and_started
	local_restarted
	local_plans
	"$t_stack" down "$t_tmp/booking"
	unset OPSH_TARGETS
}
