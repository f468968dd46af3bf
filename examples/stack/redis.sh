# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# redis: one plain server: the user `default` without a password, the user
# `ops` with one (the same rights), a unix socket as well. Owns its server;
# must not need any other component.

# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

redis_up() {
	redis_sock=$stack_dir/redis.sock
	redis_password=$(stack_secret)
	redis_need || return 1
	# sun_path has room for 104 bytes where it is smallest
	if [ "${#redis_sock}" -gt 103 ]; then
		stack_fail "socket path '$redis_sock' is longer than 103 bytes"
		return 1
	fi
	printf '%s' "$redis_password" >"$stack_dir/password" || return 1
	redis_serve redis server "${redis_plain[@]}" \
		"unixsocket \"$redis_sock\"" 'unixsocketperm 700' \
		'user default on nopass ~* &* +@all' \
		"user ops on >$redis_password ~* &* +@all"
}

redis_env() {
	stack_put OPSH_REDIS_PORT "$redis_port"
	stack_put OPSH_REDIS_PID "$redis_pid"
	stack_put OPSH_REDIS_URL "redis://127.0.0.1:$redis_port/0"
	stack_put OPSH_REDIS_SOCK "$redis_sock"
	stack_put OPSH_REDIS_OPS_URL \
		"redis://ops:$redis_password@127.0.0.1:$redis_port/0"
	stack_put OPSH_REDIS_OPS_USER ops
	stack_put OPSH_REDIS_OPS_PASSWORD "$redis_password"
	stack_put OPSH_REDIS_OPS_PASSWORD_FILE "$stack_dir/password"
}

redis_targets() {
	local url="redis://127.0.0.1:$redis_port/0"
	printf '\t\t%s\n' \
		"cache = { kind = \"redis\", url = \"$url\" }," \
		"cache_ops = { kind = \"redis\", url = \"$url\", user = \"ops\"," \
		"	password = secret.file $(stack_lua "$stack_dir/password") }," \
		"cache_sock = { kind = \"redis\"," \
		"	url = $(stack_lua "redis+unix://$redis_sock") },"
}

redis_down() {
	stack_stop
}
