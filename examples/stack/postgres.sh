# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# postgres: one server with the user `ops`, its database `flights`, TLS with a CA
# of the stack's own, pg_stat_statements, and a log with every statement. Owns its
# server; must not touch the machine's clusters.

# shellcheck source=lib/postgres-server.sh
. "$stack_here/lib/postgres-server.sh"

postgres_up() {
	postgres_need && postgres_passwords && certificates_make || return 1
	postgres_initdb postgres || return 1
	postgres_serve postgres || return 1
	postgres_fill
}

postgres_env() {
	local at=127.0.0.1:$postgres_port
	stack_put OPSH_POSTGRES_PORT "$postgres_port"
	stack_put OPSH_POSTGRES_PID "$postgres_pid"
	stack_put OPSH_POSTGRES_SOCKET_DIR "$postgres_run"
	stack_put OPSH_POSTGRES_LOG "$stack_dir/postgres.log"
	stack_put OPSH_POSTGRES_DATA "$stack_dir/postgres.data"
	stack_put OPSH_POSTGRES_BIN "$postgres_bin"
	stack_put OPSH_POSTGRES_USER ops
	stack_put OPSH_POSTGRES_DATABASE flights
	stack_put OPSH_POSTGRES_PASSWORD "$postgres_password"
	stack_put OPSH_POSTGRES_PASSWORD_FILE "$stack_dir/password"
	stack_put OPSH_POSTGRES_SUPER_PASSWORD "$postgres_super"
	stack_put OPSH_POSTGRES_SUPER_PASSWORD_FILE "$stack_dir/super_password"
	stack_put OPSH_POSTGRES_URL "postgresql://ops:$postgres_password@$at/flights"
	stack_put OPSH_POSTGRES_SUPER_URL \
		"postgresql://postgres:$postgres_super@$at/flights"
	stack_put OPSH_POSTGRES_TLS_CA "$certificates_ca"
	stack_put OPSH_POSTGRES_TLS_OTHER_CA "$stack_dir/selfsigned.crt"
	stack_put OPSH_POSTGRES_TLS_CLIENT_USER opsh-client
	stack_put OPSH_POSTGRES_TLS_CLIENT_CERT "$stack_dir/client.crt"
	stack_put OPSH_POSTGRES_TLS_CLIENT_KEY "$stack_dir/client.key"
	stack_put OPSH_POSTGRES_CERTIFICATES "$stack_dir"
}

postgres_targets() {
	local at=127.0.0.1:$postgres_port/flights
	postgres_target db ops password "$at"
	postgres_target db_super postgres super_password "$at"
	postgres_target db_tls ops password "localhost:$postgres_port/flights\
?sslmode=verify-full&sslrootcert=$(postgres_escape "$certificates_ca")"
}

postgres_down() {
	postgres_end
}
