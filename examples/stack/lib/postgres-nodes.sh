# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# postgres-nodes.sh: the nodes of postgres-ha: where each runs, the programs that
# run there, and the networks: a namespace a node, joined with the machine by a
# bridge in a third, so that a cut is silence and not a refusal. Owns these
# namespaces (their names are in the file `net`) and one link of the machine;
# must not touch its routes to elsewhere, nor its firewall.

# postgres_node NAME DATA: what follows runs on that node: sets postgres_enter,
# postgres_host, postgres_listen; makes NAME.bin, whose programs run there as the
# servers' user, whoever calls them.
postgres_node() {
	local tool wait
	postgres_enter=() postgres_host=127.0.0.1 postgres_listen=127.0.0.1
	if [ -n "${ha_net:-}" ]; then
		postgres_enter=("$(command -v nsenter)"
			"--net=/run/netns/$ha_net-$1")
		postgres_host=$ha_subnet.1
		[ "$1" = primary ] || postgres_host=$ha_subnet.2
		postgres_listen=127.0.0.1,$postgres_host
	fi
	mkdir -p -- "$stack_dir/$1.bin" || return 1
	for tool in pg_basebackup pg_checksums pg_controldata pg_ctl pg_dump \
		pg_isready pg_rewind pg_waldump psql; do
		# It starts a server itself.
		wait=()
		[ "$tool" != pg_rewind ] ||
			wait=("$stack_here/lib/pg-start.sh" "$2")
		postgres_script "$stack_dir/$1.bin/$tool" \
			${wait[0]+"${wait[@]}"} \
			${postgres_enter[0]+"${postgres_enter[@]}"} \
			${postgres_as[0]+"${postgres_as[@]}"} \
			"$postgres_bin/$tool" || return 1
	done
}

# postgres_script FILE WORD...: a program that becomes this command, followed by
# its own arguments.
postgres_script() {
	local file=$1
	shift
	{
		printf '#!/bin/sh\nexec'
		printf " '%s'" "${@//\'/\'\\\'\'}"
		printf ' "$@"\n'
	} >"$file" && chmod 700 "$file"
}

# postgres_unit NAME SIGNAL PORT [WORD...]: a service of a `local` target, with the
# pid file that stack itself reads; the words tell whether it is ready. What is run
# in it finds the node's programs on its PATH, and they find the passwords.
postgres_unit() {
	local words name=$1
	printf '\t\t\t%s\n' "$name = { port = $3, stop_signal = \"$2\"," \
		"	command = { $(stack_lua "$stack_dir/$name.start") }," \
		"	pid = $(stack_lua "$stack_dir/$name.pid")," \
		"	env = { PATH = $(stack_lua "$stack_dir/$name.bin:/usr/bin:/bin")," \
		"		PGPASSFILE = $(stack_lua "$postgres_run/pgpass") },"
	shift 3
	if [ $# -gt 0 ]; then
		printf -v words ', "%s"' "$@"
		printf '\t\t\t\tready = { command = { %s } },\n' "${words#, }"
	fi
	printf '\t\t\t},\n'
}

# --- networks -------------------------------------------------------------------

# postgres_net_up: sets ha_net, the first part of the namespaces' names, and
# ha_subnet: the primary is .1 in it, the standby .2, the machine .254.
postgres_net_up() {
	local log=$stack_dir/net.log
	[ "$(id -u)" -eq 0 ] || stack_fail \
		'OPSH_STACK_NETNS=1 needs root: it makes networks' || return 1
	stack_program ip >/dev/null && stack_program nsenter >/dev/null || return 1
	postgres_net_choose || return 1
	ha_net=opsh$(printf %s "$stack_dir" | cksum | cut -d ' ' -f 1)
	printf '%s\n' "$ha_net" >"$stack_dir/net" || return 1
	postgres_net_make >"$log" 2>&1 ||
		stack_fail 'cannot make the networks of the nodes' "$log"
}

# postgres_net_choose: a 10.N.0 that no route has.
postgres_net_choose() {
	local first=$((RANDOM % 63)) n
	for ((n = 0; n < 63; n++)); do
		ha_subnet=10.$((192 + (first + n) % 63)).0
		ip route | grep -qF "$ha_subnet." || return 0
	done
	stack_fail 'no network 10.192.0 to 10.254.0 is free'
}

postgres_net_make() {
	local node n=0
	ip netns add "$ha_net-hub" &&
		ip -n "$ha_net-hub" link add bridge type bridge &&
		ip -n "$ha_net-hub" link set bridge up &&
		ip link add "$ha_net" type veth peer name host \
			netns "$ha_net-hub" &&
		ip addr add "$ha_subnet.254/24" dev "$ha_net" &&
		ip link set "$ha_net" up || return 1
	for node in primary standby; do
		n=$((n + 1))
		ip netns add "$ha_net-$node" &&
			ip -n "$ha_net-$node" link set lo up &&
			ip -n "$ha_net-$node" link add eth0 type veth \
				peer name "$node" netns "$ha_net-hub" &&
			ip -n "$ha_net-$node" addr add "$ha_subnet.$n/24" dev eth0 &&
			ip -n "$ha_net-$node" link set eth0 up || return 1
	done
	for node in host primary standby; do
		ip -n "$ha_net-hub" link set "$node" master bridge &&
			ip -n "$ha_net-hub" link set "$node" up || return 1
	done
}

# postgres_net_down: also what a start that was killed has left. A link goes with
# the namespace that its other end is in.
postgres_net_down() {
	local net name rc=0
	[ -f "$stack_dir/net" ] || return 0
	read -r net <"$stack_dir/net"
	for name in hub primary standby; do
		[ ! -e "/run/netns/$net-$name" ] || ip netns del "$net-$name" || rc=1
	done
	ip link del "$net" 2>/dev/null
	[ "$rc" -eq 0 ] && rm -f -- "$stack_dir/net"
}
