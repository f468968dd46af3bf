# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# kafka-ha: three brokers of Apache Kafka (KRaft), each a controller too: two of them
# are enough to go on. OPSH_KAFKA_NODE kills, freezes and starts each. Names of
# variables are those of `kafka`, of which it is the larger one: one of the two in a
# stack. Owns its brokers; must not need any other component.

# shellcheck source=lib/kafka-server.sh
. "$stack_here/lib/kafka-server.sh"

kafka_ha_up() {
	if [ -d "$stack_root/kafka" ]; then
		stack_fail "'kafka' and 'kafka-ha' can't be in one stack"
		return 1
	fi
	kafka_serve 3
}

kafka_ha_env() {
	kafka_env_common
}

kafka_ha_targets() {
	kafka_targets_common events
}

kafka_ha_down() {
	kafka_end
}
