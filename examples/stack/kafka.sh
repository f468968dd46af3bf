# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# kafka: one broker of Apache Kafka (KRaft) on loopback: a plain listener, one with
# SASL over TLS (the user `ops`), one with TLS, two with a certificate to refuse.
# Topics are made by those who need them: none appears by itself. Owns its broker;
# must not need any other component.

# shellcheck source=lib/kafka-server.sh
. "$stack_here/lib/kafka-server.sh"

kafka_up() {
	kafka_serve 1
}

kafka_env() {
	kafka_env_common
}

kafka_targets() {
	kafka_targets_common events
}

kafka_down() {
	kafka_end
}
