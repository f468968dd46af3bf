# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# redis-tls: TLS-only servers with certificates of a CA of their own, made
# anew each time. One is as it should be; the others each have one fault that
# a client has to refuse: expired, for another host, self-signed, only TLS 1.1;
# one asks for a client certificate. Owns CA, keys and servers; must not touch
# the machine's certificates.

# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

redis_tls_up() {
	tls_ca=$stack_dir/ca.crt
	redis_need || return 1
	stack_program openssl >/dev/null || return 1
	redis_tls_certificates >"$stack_dir/openssl.log" 2>&1 ||
		stack_fail 'cannot make the certificates' \
			"$stack_dir/openssl.log" || return 1
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

redis_tls_certificates() {
	local names='DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1'
	redis_tls_key ca && redis_tls_key good && redis_tls_key expired &&
		redis_tls_key wronghost && redis_tls_key selfsigned &&
		redis_tls_key client || return 1
	printf '%s\n' '[req]' 'distinguished_name = dn' '[dn]' \
		'[v3_ca]' 'basicConstraints = critical,CA:TRUE' \
		'keyUsage = critical,keyCertSign,cRLSign' \
		'subjectKeyIdentifier = hash' \
		'[ca]' 'default_ca = here' '[here]' 'policy = any' \
		"database = \"$stack_dir/ca.index\"" 'default_md = sha256' \
		"new_certs_dir = \"$stack_dir\"" 'unique_subject = no' \
		'rand_serial = yes' '[any]' 'commonName = supplied' \
		>"$stack_dir/ca.cnf" && : >"$stack_dir/ca.index" || return 1
	openssl req -x509 -new -config "$stack_dir/ca.cnf" -extensions v3_ca \
		-key "$stack_dir/ca.key" -days 30 -sha256 \
		-subj '/CN=opsh throwaway CA' -out "$tls_ca" || return 1
	openssl req -x509 -new -config "$stack_dir/ca.cnf" \
		-key "$stack_dir/selfsigned.key" -days 30 -sha256 \
		-subj '/CN=localhost' -addext "subjectAltName=$names" \
		-out "$stack_dir/selfsigned.crt" || return 1
	redis_tls_sign good localhost "$names" 0 &&
		redis_tls_sign expired localhost "$names" 1 &&
		redis_tls_sign wronghost elsewhere.invalid \
			'DNS:elsewhere.invalid' 0 &&
		redis_tls_sign client opsh-client 'DNS:opsh-client' 0
}

redis_tls_key() {
	openssl ecparam -name prime256v1 -genkey -noout \
		-out "$stack_dir/$1.key"
}

# redis_tls_sign NAME CN ALTNAMES EXPIRED: signed with `openssl ca`, which alone
# takes both dates in every version.
redis_tls_sign() {
	local from to
	from=$(date -u +%Y)
	to=$((from + 2))0101000000Z
	from=$((from - 1))0101000000Z
	[ "$4" -eq 0 ] || to=$(($(date -u +%Y) - 1))0201000000Z
	printf '%s\n' "subjectAltName = $3" >"$stack_dir/$1.ext"
	openssl req -new -config "$stack_dir/ca.cnf" -sha256 \
		-key "$stack_dir/$1.key" -subj "/CN=$2" \
		-out "$stack_dir/$1.csr" &&
		openssl ca -batch -notext -config "$stack_dir/ca.cnf" \
		-cert "$tls_ca" -keyfile "$stack_dir/ca.key" \
		-extfile "$stack_dir/$1.ext" -startdate "$from" -enddate "$to" \
		-in "$stack_dir/$1.csr" -out "$stack_dir/$1.crt"
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
