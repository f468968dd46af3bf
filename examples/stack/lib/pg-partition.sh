#!/bin/sh
# pg-partition.sh: cuts the network of the component postgres-ha when it was
# started with OPSH_STACK_NETNS=1, and heals it. What is cut is silent: nothing is
# refused, nothing answers. Needs OPSH_PG_NET, and root. Must not touch any other
# link.
#
#   pg-partition.sh cut NODE            NODE (primary, standby) from all others
#   pg-partition.sh cut NODE OTHER      two of primary, standby, host from each other
#   pg-partition.sh heal
set -eu

hub=${OPSH_PG_NET:?the component postgres-ha is not up with OPSH_STACK_NETNS=1}-hub

usage() {
	sed -n 's/^#   //p' "$0" >&2
	exit 2
}

known() {
	case $1 in
	primary|standby|host) ;;
	*) usage ;;
	esac
}

port() {
	ip -n "$hub" link set "$@"
}

case ${1:-}:$# in
cut:2)
	known "$2"
	port "$2" down
	;;
cut:3)
	known "$2"
	known "$3"
	[ "$2" != "$3" ] || usage
	# Two ports that are isolated reach every other port, but not one another.
	for name in primary standby host; do
		case $name in
		"$2"|"$3") port "$name" type bridge_slave isolated on ;;
		*) port "$name" type bridge_slave isolated off ;;
		esac
	done
	;;
heal:1)
	for name in primary standby host; do
		port "$name" type bridge_slave isolated off
		port "$name" up
	done
	;;
*) usage ;;
esac
