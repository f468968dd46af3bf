# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# booking: a small system of five services that are processes of this machine:
# gateway -> booking -> payment, catalogue (nginx each), seats (a Redis). Its own
# targets file, OPSH_BOOKING_TARGETS, has them as services of a `local`
# orchestrator, so that the playbooks of services/ find and restart them. A file
# OPSH_BOOKING_DIR/switch/NAME makes NAME say 503. Owns its processes, those that
# a playbook started again included; must not need root.

# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

booking_web='gateway booking payment catalogue'

booking_up() {
	local name try ports
	PATH=$PATH:/usr/sbin:/usr/local/sbin booking_nginx=$(
		stack_program nginx) || return 1
	redis_need && mkdir -p -- "$stack_dir/tmp" "$stack_dir/switch" || return 1
	redis_serve seats server "${redis_plain[@]}" || return 1
	for try in 1 2 3 4 5; do
		ports=$(stack_free_port 4) || return 1
		# shellcheck disable=SC2086 # a list
		booking_ports $ports
		for name in $booking_web; do
			booking_conf "$name" >"$stack_dir/$name.conf" || return 1
			: >"$stack_dir/$name.log"
			# Relative paths: the folder's name may hold what nginx expands.
			stack_spawn "$name" sh -c 'cd -- "$1" && exec "$2" -p . -c "$3"' \
				sh "$stack_dir" "$booking_nginx" "$name.conf"
		done
		stack_within "$stack_limit" booking_settled || break
		if booking_alive; then
			booking_file >"$stack_dir/opsh.lua"
			return
		fi
		grep -q 'Address already in use' "$stack_dir"/*.log || break
		stack_say "a port of 'booking' is taken (try $try)"
		booking_stop_web || return 1
	done
	stack_fail "cannot start 'booking': not all of it answers" \
		"$stack_dir/gateway.log"
}

booking_ports() {
	booking_port_gateway=$1 booking_port_booking=$2
	booking_port_payment=$3 booking_port_catalogue=$4
}

booking_alive() {
	local name
	for name in $booking_web; do
		stack_alive "$stack_dir/$name.pid" || return 1
	done
}

# booking_settled: 0 when there is no more to wait for: each is dead, or has
# bound its port (it writes NAME.run after that).
booking_settled() {
	local name
	for name in $booking_web; do
		stack_alive "$stack_dir/$name.pid" || return 0
		[ "$(cat "$stack_dir/$name.run" 2>/dev/null)" = "$stack_pid" ] ||
			return 1
	done
}

# booking_stop_web: before other ports are tried; the Redis stays.
booking_stop_web() {
	local name
	for name in $booking_web; do
		stack_alive "$stack_dir/$name.pid" || continue
		kill -KILL "$stack_pid" 2>/dev/null
		stack_within 5 eval "! stack_alive \"\$stack_dir/$name.pid\"" ||
			return 1
	done
}

# booking_conf NAME: one process in the foreground, without workers.
booking_conf() {
	local port=booking_port_$1
	cat <<-CONF
		daemon off;
		master_process off;
		pid $1.run;
		error_log stderr warn;
		events { worker_connections 256; }
		http {
			access_log off;
			default_type application/json;
			client_body_temp_path tmp/$1-body;
			proxy_temp_path tmp/$1-proxy;
			fastcgi_temp_path tmp/$1-fastcgi;
			uwsgi_temp_path tmp/$1-uwsgi;
			scgi_temp_path tmp/$1-scgi;
			server {
				listen 127.0.0.1:${!port};
				if (-f switch/$1) { return 503 '{"status":"DOWN"}'; }
				location = /ping { return 200 '{"status":"UP"}'; }
	CONF
	case $1 in
	gateway) booking_below booking 1500ms ;;
	booking) booking_below payment 500ms ;;
	*) printf "\t\tlocation = /health { return 200 '{\"status\":\"UP\"}'; }\n" ;;
	esac
	printf '\t}\n}\n'
}

# booking_below NAME TIME: a /health that asks NAME and says what it said.
booking_below() {
	local port=booking_port_$1 up='{"status":"UP","components":{'
	cat <<-CONF
		location = /health {
			proxy_connect_timeout $2;
			proxy_read_timeout $2;
			proxy_intercept_errors on;
			proxy_method GET;
			proxy_pass http://127.0.0.1:${!port}/ping;
			error_page 502 503 504 =200 @below;
		}
		location @below {
			return 200 '$up"$1":{"status":"DOWN"}}}';
		}
	CONF
}

# booking_file: the targets file of the system.
booking_file() {
	local name port
	printf '%s\n' '-- a small system on this machine; see stack status' \
		'return {' '  environment = "stack",' '  targets = {'
	for name in $booking_web; do
		port=booking_port_$name
		printf '    %s = "http://127.0.0.1:%s",\n' "$name" "${!port}"
	done
	printf '    seats = "redis://127.0.0.1:%s/0",\n' "$redis_port"
	printf '    orchestrator = { kind = "local", services = {\n'
	for name in $booking_web; do
		port=booking_port_$name
		booking_process "$name" "${!port}" "$booking_nginx" -p . -c "$name.conf"
	done
	booking_process seats "$redis_port" "$redis_server" "$stack_dir/seats.conf"
	printf '%s\n' '    } },' '  },' '  services = {' \
		'    gateway = { target = "gateway", health = "/health", timeout = 2,' \
		'      depends = { "booking", "catalogue" } },' \
		'    booking = { target = "booking", health = "/health", timeout = 2,' \
		'      depends = { "payment", "seats" } },' \
		'    payment = { target = "payment", health = "/health", timeout = 1 },' \
		'    catalogue = { target = "catalogue", health = "/health" },' \
		'    seats = { target = "seats" },' '  },' '}'
}

# booking_process NAME PORT COMMAND...: its definition for kind local.
booking_process() {
	local name=$1 port=$2 word words=
	shift 2
	for word; do words="$words$(stack_lua "$word"), "; done
	cat <<-LUA
	      $name = { port = $port, stop_timeout = 1,
	        ready = { tcp = $port }, cwd = $(stack_lua "$stack_dir"),
	        pid = $(stack_lua "$stack_dir/$name.pid"),
	        command = { ${words%, } } },
	LUA
}

booking_env() {
	local name port
	stack_put OPSH_BOOKING_TARGETS "$stack_dir/opsh.lua"
	stack_put OPSH_BOOKING_DIR "$stack_dir"
	for name in $booking_web; do
		port=booking_port_$name
		stack_put "OPSH_BOOKING_$(printf %s "$name" | tr "[:lower:]" "[:upper:]")_URL" \
			"http://127.0.0.1:${!port}"
	done
	stack_put OPSH_BOOKING_SEATS_URL "redis://127.0.0.1:$redis_port/0"
}

# A system has a targets file of its own, with services and all.
booking_targets() {
	:
}

booking_down() {
	stack_stop
}
