# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# certificates.sh: a CA made anew and certificates of it, one as it should be,
# the others with one fault each that a client has to refuse: expired, for
# another host, self-signed; one ends in five days; one is a client's. Shared by
# the components that serve TLS. Owns the keys and certificates in stack_dir;
# must not touch the machine's certificates.

# certificates_make: makes all of them; sets certificates_ca.
certificates_make() {
	certificates_ca=$stack_dir/ca.crt
	stack_program openssl >/dev/null || return 1
	certificates_all >"$stack_dir/openssl.log" 2>&1 ||
		stack_fail 'cannot make the certificates' "$stack_dir/openssl.log"
}

certificates_all() {
	local names='DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1' name
	for name in ca good expired soon wronghost selfsigned client; do
		openssl ecparam -name prime256v1 -genkey -noout \
			-out "$stack_dir/$name.key" || return 1
	done
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
		-subj '/CN=opsh throwaway CA' -out "$certificates_ca" || return 1
	openssl req -x509 -new -config "$stack_dir/ca.cnf" \
		-key "$stack_dir/selfsigned.key" -days 30 -sha256 \
		-subj '/CN=localhost' -addext "subjectAltName=$names" \
		-out "$stack_dir/selfsigned.crt" || return 1
	certificates_sign good localhost "$names" years &&
		certificates_sign expired localhost "$names" over &&
		certificates_sign soon localhost "$names" days &&
		certificates_sign wronghost elsewhere.invalid \
			'DNS:elsewhere.invalid' years &&
		certificates_sign client opsh-client 'DNS:opsh-client' years
}

# certificates_sign NAME CN ALTNAMES years|over|days: signed with `openssl ca`,
# which alone takes both dates in every version; a start long gone and an end
# in two years, last year, or five days from now.
certificates_sign() {
	local from year end
	year=$(date -u +%Y)
	from=$((year - 1))0101000000Z
	case $4 in
	years) end=(-enddate $((year + 2))0101000000Z) ;;
	over) end=(-enddate $((year - 1))0201000000Z) ;;
	days) end=(-days 5) ;;
	esac
	# With -days the end counts from now, also when the start is given.
	printf '%s\n' "subjectAltName = $3" >"$stack_dir/$1.ext"
	openssl req -new -config "$stack_dir/ca.cnf" -sha256 \
		-key "$stack_dir/$1.key" -subj "/CN=$2" \
		-out "$stack_dir/$1.csr" &&
		openssl ca -batch -notext -config "$stack_dir/ca.cnf" \
		-cert "$certificates_ca" -keyfile "$stack_dir/ca.key" \
		-extfile "$stack_dir/$1.ext" -startdate "$from" "${end[@]}" \
		-in "$stack_dir/$1.csr" -out "$stack_dir/$1.crt"
}
