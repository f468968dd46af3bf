# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# nginx: one web server with what a client meets: plain HTTP, a second origin,
# a unix socket, TLS with good and faulty certificates, one origin whose errors
# files switch on, and a port that accepts and never answers. All that a test
# may change or read is below OPSH_NGINX_ROOT. Owns nginx and the silent
# process; the certificates are lib/certificates.sh's, the configuration
# lib/nginx-conf.sh's.

# shellcheck source=lib/certificates.sh
. "$stack_here/lib/certificates.sh"
# shellcheck source=lib/nginx-conf.sh
. "$stack_here/lib/nginx-conf.sh"

nginx_up() {
	local ports try log=$stack_dir/nginx.log
	nginx_sock=$stack_dir/nginx.sock
	if [ "${#nginx_sock}" -gt 103 ]; then
		stack_fail "socket path '$nginx_sock' is longer than 103 bytes"
		return 1
	fi
	PATH=$PATH:/usr/sbin:/usr/local/sbin nginx_program=$(
		stack_program nginx) || return 1
	certificates_make || return 1
	nginx_files || return 1
	nginx_silent || return 1
	for try in 1 2 3 4 5; do
		ports=$(stack_free_port 10) || return 1
		# shellcheck disable=SC2086 # a list
		nginx_ports $ports
		nginx_conf >"$stack_dir/nginx.conf" || return 1
		: >"$log"
		# Relative paths: the folder's name may hold what nginx expands.
		stack_spawn nginx sh -c 'cd -- "$1" && exec "$2" -p . -c nginx.conf' \
			sh "$stack_dir" "$nginx_program"
		stack_within "$stack_limit" nginx_settled || break
		if stack_alive "$stack_dir/nginx.pid"; then
			nginx_pid=$stack_pid
			return 0
		fi
		grep -q 'Address already in use' "$log" || break
		stack_say "a port of 'nginx' is taken (try $try)"
	done
	stack_fail "cannot start 'nginx': no answer on port $nginx_http" "$log"
}

nginx_ports() {
	nginx_http=$1 nginx_other=$2 nginx_flaky=$3 nginx_good=$4
	nginx_expired=$5 nginx_wronghost=$6 nginx_selfsigned=$7 nginx_soon=$8
	nginx_mutual=$9 nginx_old=${10}
}

# nginx_settled: 0 when there is no more to wait for: it has bound all it was
# told to (it writes `run` after that), or it is dead.
nginx_settled() {
	stack_alive "$stack_dir/nginx.pid" || return 0
	[ "$(cat "$stack_dir/run" 2>/dev/null)" = "$stack_pid" ]
}

# nginx_silent: a port that accepts and says nothing; it keeps the last 64
# connections, so clients see neither data nor an end.
nginx_silent() {
	stack_program perl >/dev/null || return 1
	stack_spawn silent perl -MSocket -e '
		socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!;
		bind($s, sockaddr_in(0, INADDR_LOOPBACK)) or die $!;
		listen($s, 128) or die $!;
		open(my $f, ">", "$ARGV[0].new") or die $!;
		print $f +(sockaddr_in(getsockname $s))[0];
		close $f or die $!;
		rename "$ARGV[0].new", $ARGV[0] or die $!;
		my @held;
		while (1) {
			accept(my $c, $s) or next;
			push @held, $c;
			close shift @held if @held > 64;
		}' "$stack_dir/silent.port"
	stack_within "$stack_limit" test -s "$stack_dir/silent.port" ||
		stack_fail "cannot start 'silent'" "$stack_dir/silent.log" || return 1
	nginx_silent=$(cat "$stack_dir/silent.port")
}

nginx_files() {
	local root=$stack_dir/root
	mkdir -p -- "$root/bytes" "$root/gzip" "$root/upload" "$root/switch" \
		"$root/bodies" "$stack_dir/tmp" || return 1
	nginx_password=$(stack_secret)
	nginx_token=$(stack_secret)
	printf '%s' "$nginx_password" >"$stack_dir/password" &&
		printf '%s' "$nginx_token" >"$stack_dir/token" &&
		printf 'ops:%s\n' "$(printf '%s\n' "$nginx_password" |
			openssl passwd -apr1 -stdin)" >"$stack_dir/htpasswd" &&
		head -c 1024 /dev/urandom >"$root/bytes/1k" &&
		head -c 1048576 /dev/urandom >"$root/bytes/1m" &&
		head -c 10485760 /dev/urandom >"$root/bytes/10m" || return 1
	# Holes: they read as zeros and take no room.
	nginx_hole "$root/bytes/1g" 1073741824 &&
		nginx_hole "$root/gzip/100m" 104857600 &&
		awk 'BEGIN { for (i = 0; i < 2000; i++) print "line " i }' \
			>"$root/gzip/text" &&
		nginx_metrics >"$root/metrics"
}

nginx_hole() {
	dd if=/dev/zero of="$1" bs=1 count=0 seek="$2" 2>/dev/null
}

nginx_env() {
	local name base=http://127.0.0.1
	stack_put OPSH_NGINX_PID "$nginx_pid"
	stack_put OPSH_NGINX_PORT "$nginx_http"
	stack_put OPSH_NGINX_URL "$base:$nginx_http"
	stack_put OPSH_NGINX_OTHER_URL "$base:$nginx_other"
	stack_put OPSH_NGINX_FLAKY_URL "$base:$nginx_flaky"
	stack_put OPSH_NGINX_SILENT_URL "$base:$nginx_silent"
	stack_put OPSH_NGINX_SOCK "$nginx_sock"
	stack_put OPSH_NGINX_ROOT "$stack_dir/root"
	stack_put OPSH_NGINX_ACCESS_LOG "$stack_dir/access.log"
	stack_put OPSH_NGINX_USER ops
	stack_put OPSH_NGINX_PASSWORD "$nginx_password"
	stack_put OPSH_NGINX_PASSWORD_FILE "$stack_dir/password"
	stack_put OPSH_NGINX_TOKEN "$nginx_token"
	stack_put OPSH_NGINX_TOKEN_FILE "$stack_dir/token"
	stack_put OPSH_NGINX_TLS_URL "https://localhost:$nginx_good"
	stack_put OPSH_NGINX_TLS_PORT "$nginx_good"
	stack_put OPSH_NGINX_TLS_CA "$certificates_ca"
	stack_put OPSH_NGINX_TLS_CLIENT_CERT "$stack_dir/client.crt"
	stack_put OPSH_NGINX_TLS_CLIENT_KEY "$stack_dir/client.key"
	for name in expired wronghost selfsigned soon mutual old; do
		port=nginx_$name
		stack_put "OPSH_NGINX_TLS_$(printf '%s' "$name" |
			tr '[:lower:]' '[:upper:]')_URL" "https://localhost:${!port}"
	done
}

nginx_targets() {
	local ca base=http://127.0.0.1 tls=https://localhost name port
	ca="ca = $(stack_lua "$certificates_ca")"
	nginx_target web "$base:$nginx_http"
	nginx_target web_other "$base:$nginx_other"
	nginx_target web_flaky "$base:$nginx_flaky"
	nginx_target web_silent "$base:$nginx_silent"
	nginx_target web_sock "http+unix://$(printf '%s' "$nginx_sock" |
		sed 's/%/%25/g; s/ /%20/g; s/?/%3F/g; s/#/%23/g')"
	nginx_target web_auth "$base:$nginx_http" 'user = "ops"' \
		"password = secret.file $(stack_lua "$stack_dir/password")"
	nginx_target web_bearer "$base:$nginx_http" \
		"token = secret.file $(stack_lua "$stack_dir/token")"
	nginx_target web_tls "$tls:$nginx_good" "$ca"
	for name in expired wronghost selfsigned soon old; do
		port=nginx_$name
		nginx_target "web_tls_$name" "$tls:${!port}" "$ca"
	done
	nginx_target web_tls_mutual "$tls:$nginx_mutual" "$ca" \
		"cert = $(stack_lua "$stack_dir/client.crt")" \
		"key = $(stack_lua "$stack_dir/client.key")"
}

# nginx_target NAME URL FIELD...
nginx_target() {
	printf '\t\t%s = { kind = "http",\n' "$1"
	printf '\t\t\turl = %s,\n' "$(stack_lua "$2")"
	shift 2
	[ $# -eq 0 ] || printf '\t\t\t%s,\n' "$@"
	printf '\t\t},\n'
}

nginx_down() {
	stack_stop
}
