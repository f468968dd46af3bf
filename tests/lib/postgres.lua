-- postgres: what the specs of Postgres share: clients.lua for kind postgres, as the
-- superuser of the server in examples/stack. Loaded with dofile. Owns nothing: each
-- spec clears away its tables.
return dofile "tests/lib/clients.lua"(require("opsh.postgres").kind, "db",
	"OPSH_POSTGRES_SUPER_URL")
