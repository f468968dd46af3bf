# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# redis-tls: TLS-only servers with certificates of a CA of their own, made
# anew each time. One is as it should be; the others each have one fault that
# a client has to refuse: expired, for another host, self-signed, only TLS 1.1;
# one asks for a client certificate. Owns its servers; must not touch the
# machine's certificates.

# shellcheck source=lib/certificates.sh
. "$stack_here/lib/certificates.sh"
# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

redis_tls_up() {
	redis_need || return 1
	certificates_make || return 1
	tls_ca=$certificates_ca
	redis_cli_opts=(--tls --insecure --cert "$stack_dir/client.crt"
		--key "$stack_dir/client.key")
	redis_tls_serve good good || return 1
	tls_port=$redis_port tls_pid=$redis_pid
	redis_tls_serve expired expired || return 1
	tls_expired=$redis_port
	redis_tls_serve wronghost wronghost || return 1
	tls_wronghost=$redis_port
	redis_tls_serve selfsigned selfsigned || return 1
	tls_selfsigned=$redis_port
	redis_tls_serve mutual good 'tls-auth-clients yes' || return 1
	tls_mutual=$redis_port
	redis_tls_old
}

# redis_tls_serve NAME CERTIFICATE LINE...
redis_tls_serve() {
	local name=$1 cert=$2
	shift 2
	redis_serve "$name" server "${redis_plain[@]}" 'port 0' \
		'tls-port @PORT@' 'tls-auth-clients optional' \
		"tls-cert-file \"$stack_dir/$cert.crt\"" \
		"tls-key-file \"$stack_dir/$cert.key\"" \
		"tls-ca-cert-file \"$tls_ca\"" "$@"
}

# redis_tls_old: TLS 1.1 at most, as a downgrade would leave it. Libraries
# refuse that by default, so both ends are told to allow it.
redis_tls_old() {
	local conf=$stack_dir/openssl.cnf
	printf '%s\n' 'openssl_conf = all' '[all]' 'ssl_conf = ssl' '[ssl]' \
		'system_default = old' '[old]' 'MinProtocol = TLSv1' \
		'CipherString = DEFAULT:@SECLEVEL=0' >"$conf" || return 1
	export OPENSSL_CONF=$conf
	redis_tls_serve old good 'tls-protocols "TLSv1.1"' \
		'tls-ciphers "DEFAULT:@SECLEVEL=0"'
	local rc=$?
	unset OPENSSL_CONF
	tls_old=$redis_port
	return "$rc"
}

redis_tls_env() {
	local base=rediss://localhost
	stack_put OPSH_REDIS_TLS_PORT "$tls_port"
	stack_put OPSH_REDIS_TLS_PID "$tls_pid"
	stack_put OPSH_REDIS_TLS_URL "$base:$tls_port/0"
	stack_put OPSH_REDIS_TLS_CA "$tls_ca"
	stack_put OPSH_REDIS_TLS_CLIENT_CERT "$stack_dir/client.crt"
	stack_put OPSH_REDIS_TLS_CLIENT_KEY "$stack_dir/client.key"
	stack_put OPSH_REDIS_TLS_EXPIRED_URL "$base:$tls_expired/0"
	stack_put OPSH_REDIS_TLS_WRONGHOST_URL "$base:$tls_wronghost/0"
	stack_put OPSH_REDIS_TLS_SELFSIGNED_URL "$base:$tls_selfsigned/0"
	stack_put OPSH_REDIS_TLS_MUTUAL_URL "$base:$tls_mutual/0"
	stack_put OPSH_REDIS_TLS_OLD_URL "$base:$tls_old/0"
}

redis_tls_targets() {
	local ca
	ca=$(stack_lua "$tls_ca")
	redis_tls_target cache_tls "$tls_port" "ca = $ca"
	redis_tls_target cache_tls_expired "$tls_expired" "ca = $ca"
	redis_tls_target cache_tls_wronghost "$tls_wronghost" "ca = $ca"
	redis_tls_target cache_tls_selfsigned "$tls_selfsigned" "ca = $ca"
	redis_tls_target cache_tls_old "$tls_old" "ca = $ca"
	redis_tls_target cache_tls_mutual "$tls_mutual" "ca = $ca" \
		"cert = $(stack_lua "$stack_dir/client.crt")" \
		"key = $(stack_lua "$stack_dir/client.key")"
}

# redis_tls_target NAME PORT FIELD...
redis_tls_target() {
	printf '\t\t%s = { kind = "redis",\n' "$1"
	printf '\t\t\turl = "rediss://localhost:%s/0",\n' "$2"
	shift 2
	printf '\t\t\t%s,\n' "$@"
	printf '\t\t},\n'
}

redis_tls_down() {
	stack_stop
}
