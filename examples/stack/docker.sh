# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# docker: a Docker engine of its own and on it a compose project of real
# services: cache (redis-server), gateway (an HTTP server), worker (scales, no
# port). Its images are made from programs of this machine; nothing is pulled.
# Needs root. Owns the engine, its containers and mounts, all below its folder.
# Must not touch another engine nor the machine's firewall: no bridge, no
# iptables, the services are on the host's network, on free ports of loopback.

docker_up() {
	local n
	docker_need || return 1
	docker_host=unix://$stack_dir/docker.sock
	docker_project=opsh-stack
	docker_file=$stack_dir/project/docker-compose.yml
	docker_engine || return 1
	docker_images || return 1
	# Ports are free when they are chosen, and may be taken when they are used.
	for n in 1 2 3; do
		docker_write || return 1
		docker_compose up -d >>"$stack_dir/compose.log" 2>&1 && return 0
		grep -q 'in use' "$stack_dir/compose.log" || break
		docker_compose down -t 0 >>"$stack_dir/compose.log" 2>&1
	done
	stack_fail "cannot start the compose project" "$stack_dir/compose.log"
}

docker_need() {
	local path=$stack_dir/exec/containerd/containerd.sock.ttrpc
	if [ "$(id -u)" -ne 0 ]; then
		stack_fail "cannot start a Docker engine: only root may"
		return 1
	fi
	stack_program dockerd >/dev/null && stack_program containerd >/dev/null &&
		stack_program docker >/dev/null &&
		docker_redis=$(stack_program redis-server valkey-server) &&
		docker_cli=$(stack_program redis-cli valkey-cli) &&
		docker_busybox=$(stack_program busybox) || return 1
	if ldd "$docker_busybox" >/dev/null 2>&1; then
		stack_fail "cannot make an image of '$docker_busybox': it is not" \
			" static (package busybox-static)"
		return 1
	fi
	# sun_path has room for 108 bytes
	if [ "${#path}" -gt 107 ]; then
		stack_fail "socket path '$path' is longer than 107 bytes"
		return 1
	fi
	if docker compose version >/dev/null 2>&1; then
		docker_program=(docker compose)
	elif command -v docker-compose >/dev/null 2>&1; then
		docker_program=(docker-compose)
	else
		stack_fail "cannot find 'docker compose' nor 'docker-compose'"
	fi
}

docker_ask() {
	DOCKER_HOST=$docker_host stack_brief docker "$@"
}

docker_compose() {
	DOCKER_HOST=$docker_host timeout "$stack_limit" "${docker_program[@]}" \
		-f "$docker_file" -p "$docker_project" "$@" </dev/null
}

# docker_cgroup: the name of the one that holds the containers.
docker_cgroup() {
	printf 'opsh-stack-%s' "$(printf '%s' "$stack_dir" | cksum | cut -d' ' -f1)"
}

docker_settled() {
	stack_alive "$stack_dir/dockerd.pid" || return 0
	docker_ask version >/dev/null 2>&1
}

docker_engine() {
	mkdir -- "$stack_dir/data" "$stack_dir/exec" "$stack_dir/project" || return 1
	# A configuration of the machine's own engine is not ours.
	printf '{}\n' >"$stack_dir/daemon.json" || return 1
	stack_spawn dockerd dockerd --config-file "$stack_dir/daemon.json" \
		--data-root "$stack_dir/data" --exec-root "$stack_dir/exec" \
		--pidfile "$stack_dir/engine-pid" -H "$docker_host" \
		--iptables=false --ip6tables=false --bridge=none \
		--ip-forward=false --ip-masq=false \
		--exec-opt native.cgroupdriver=cgroupfs \
		--cgroup-parent "/$(docker_cgroup)"
	stack_within "$stack_limit" docker_settled &&
		stack_alive "$stack_dir/dockerd.pid" && return 0
	stack_fail "the Docker engine does not answer" "$stack_dir/dockerd.log"
}

# --- images --------------------------------------------------------------------

# docker_image NAME ROOT: an image of a folder.
docker_image() {
	tar -C "$2" --owner=0 --group=0 -c . |
		DOCKER_HOST=$docker_host timeout "$stack_limit" docker import \
			-c 'ENV PATH=/bin' -c 'CMD ["sh"]' - "$1" >/dev/null ||
		stack_fail "cannot import the image '$1'"
}

# docker_root ROOT: busybox and what any program expects.
docker_root() {
	local name
	mkdir -p -- "$1"/{bin,etc,tmp,dev,proc,sys,root,www,data} || return 1
	cp -- "$docker_busybox" "$1/bin/busybox" || return 1
	for name in $("$docker_busybox" --list); do
		[ "$name" = busybox ] || ln -sf busybox "$1/bin/$name"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\n' >"$1/etc/group"
	printf '{"status":"UP"}\n' >"$1/www/health"
	find "$1" -type d -exec chmod 755 {} + && chmod 644 "$1"/etc/* "$1"/www/*
}

docker_images() {
	local root=$stack_dir/root file
	docker_root "$root" || return 1
	docker_gateway >"$root/bin/gateway" && docker_worker >"$root/bin/worker" &&
		chmod 755 "$root"/bin/{gateway,worker} &&
		docker_image opsh-stack/app:1 "$root" &&
		docker_ask tag opsh-stack/app:1 opsh-stack/app:2 || return 1
	cp -L -- "$docker_redis" "$root/bin/redis-server" &&
		cp -L -- "$docker_cli" "$root/bin/redis-cli" || return 1
	# libm.so.6 => /lib/.../libm.so.6 (0x...), /lib64/ld-linux-x86-64.so.2 (0x...)
	for file in $(ldd "$docker_redis" "$docker_cli" |
		grep -v ':$' | grep -o '/.* ' | sort -u); do
		mkdir -p -- "$root${file%/*}" && cp -L -- "$file" "$root$file" ||
			return 1
	done
	docker_image opsh-stack/redis:1 "$root" && rm -rf -- "$root"
}

# The gateway: GET /health says UP while the file is there.
docker_gateway() {
	cat <<-'EOT'
		#!/bin/sh
		echo "INFO gateway listens on 127.0.0.1:$PORT"
		echo "WARN rate limit is $RATE_LIMIT" >&2
		exec httpd -f -v -p "127.0.0.1:$PORT" -h /www
	EOT
}

# The worker: a line each 0.2 s, ends at once on TERM. `touch /tmp/crash` ends
# it with 3.
docker_worker() {
	cat <<-'EOT'
		#!/bin/sh
		trap 'echo "INFO worker stops"; exit 0' TERM
		n=0
		while [ ! -e /tmp/crash ]; do
			n=$((n + 1))
			echo "INFO worker tick $n"
			sleep 0.2
		done
		rm -f /tmp/crash
		echo "ERROR worker was told to crash" >&2
		exit 3
	EOT
}

# --- the project -----------------------------------------------------------------

docker_write() {
	local ports
	# shellcheck disable=SC2207 # two numbers
	ports=($(stack_free_port 2)) || return 1
	docker_gateway_port=${ports[0]} docker_cache_port=${ports[1]}
	printf 'GATEWAY_PORT=%s\nCACHE_PORT=%s\nRATE_LIMIT=100\n' "${ports[@]}" \
		>"$stack_dir/project/.env" || return 1
	cat >"$docker_file" <<-'EOT'
		services:
		  cache:
		    image: opsh-stack/redis:1
		    command: ["redis-server", "--bind", "127.0.0.1", "--port", "${CACHE_PORT}",
		      "--save", ""]
		    network_mode: host
		    healthcheck:
		      test: ["CMD", "redis-cli", "-p", "${CACHE_PORT}", "ping"]
		      interval: 1s
		      timeout: 2s
		      retries: 3
		  gateway:
		    image: opsh-stack/app:1
		    command: ["gateway"]
		    network_mode: host
		    stop_grace_period: 1s
		    environment:
		      PORT: "${GATEWAY_PORT}"
		      RATE_LIMIT: "${RATE_LIMIT}"
		      REDIS_URL: "redis://127.0.0.1:${CACHE_PORT}/0"
		      FEATURE_FLAGS: ""
		    depends_on:
		      cache: { condition: service_healthy }
		    healthcheck:
		      test: ["CMD", "wget", "-q", "-O", "/dev/null",
		        "http://127.0.0.1:${GATEWAY_PORT}/health"]
		      interval: 1s
		      timeout: 2s
		      retries: 2
		  worker:
		    image: opsh-stack/app:1
		    command: ["worker"]
		    network_mode: host
		    stop_grace_period: 1s
		    depends_on:
		      gateway: { condition: service_healthy }
	EOT
}

docker_env() {
	stack_put OPSH_DOCKER_HOST "$docker_host"
	stack_put OPSH_COMPOSE_FILE "$docker_file"
	stack_put OPSH_COMPOSE_PROJECT "$docker_project"
	stack_put OPSH_DOCKER_GATEWAY_PORT "$docker_gateway_port"
	stack_put OPSH_DOCKER_CACHE_PORT "$docker_cache_port"
}

docker_targets() {
	printf '\t\t%s\n' \
		'orchestrator = { kind = "compose",' \
		"	file = $(stack_lua "$docker_file")," \
		"	project = \"$docker_project\"," \
		"	docker_host = $(stack_lua "$docker_host") },"
}

# --- the end ---------------------------------------------------------------------

# docker_strays: pids of what an engine that was killed has left: containerd and
# its shims name our folder, the containers' first processes are their children.
docker_strays() {
	local file pid line
	for file in /proc/[0-9]*/cmdline; do
		pid=${file#/proc/}
		pid=${pid%/cmdline}
		line=$({ tr '\0' ' ' <"$file"; } 2>/dev/null) || continue
		case $line in
		*containerd*"$stack_dir/exec/"*)
			printf '%s\n' "$pid"
			cat "/proc/$pid/task/$pid/children" 2>/dev/null | tr ' ' '\n'
			;;
		esac
	done
}

docker_no_strays() {
	[ -z "$(docker_strays)" ]
}

docker_down() {
	local pids mounts
	docker_host=unix://$stack_dir/docker.sock
	if stack_alive "$stack_dir/dockerd.pid"; then
		# One that was stopped by a test is woken, or nothing is answered.
		kill -CONT "$stack_pid" 2>/dev/null
		docker_ask ps -aq 2>/dev/null |
			DOCKER_HOST=$docker_host xargs -r timeout "$stack_limit" \
				docker rm -f >/dev/null 2>&1
	fi
	stack_stop || return 1
	pids=$(docker_strays)
	# shellcheck disable=SC2086 # a list
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
	stack_within 5 docker_no_strays ||
		stack_fail "containers of '$stack_dir' are left" || return 1
	# The deepest first. A path with a space has \040 there, as printf %b reads.
	mounts=$(awk '{ print $5 }' /proc/self/mountinfo |
		while read -r line; do
			line=$(printf '%b' "${line//\\0/\\00}")
			case $line in
			"$stack_dir"/*) printf '%s\n' "$line" ;;
			esac
		done | sort -r)
	[ -z "$mounts" ] || printf '%s\n' "$mounts" |
		while read -r line; do
			umount -- "$line" || umount -l -- "$line" || exit 1
		done || stack_fail "cannot unmount what is below '$stack_dir'" || return 1
	find /sys/fs/cgroup -mindepth 1 -maxdepth 4 -depth -type d \
		-path "*/$(docker_cgroup)*" -exec rmdir -- {} + 2>/dev/null || :
}
