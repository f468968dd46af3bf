-- postgres: what the specs of Postgres share: clients that are closed at a test's
-- end. Loaded with dofile. Owns nothing: the servers are those of examples/stack,
-- and each spec clears away its tables.
local postgres = require "opsh.postgres"
local effect = require "opsh.c.effect"
local target = require "opsh.c.target"
local secret = require "opsh.secret"
local url = require "run.url"

local P = {}

-- A client for the URL; every destructive verb is let through.
function P.open(text, opts)
	local object = target.new { name = "db", kind = "postgres",
		role = opts and opts.role }
	local options = { url = text and url.parse(text, secret.value) }
	for k, v in pairs(opts or {}) do
		if k ~= "role" then options[k] = v end
	end
	object:pass("", "spec")
	return postgres.kind.connect(object, options), object
end

-- One journal for all specs of the process.
local function begin_run()
	if package.loaded["spec.postgres.run"] then return end
	package.loaded["spec.postgres.run"] = true
	effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
end

-- Runs f(client, target object); closes the client whatever happens. Mode is
-- "write", or opts.mode.
function P.with(text, opts, f)
	local mode = opts and opts.mode or "write"
	local own = {}
	for k, v in pairs(opts or {}) do
		if k ~= "mode" then own[k] = v end
	end
	local client, object = P.open(text, own)
	local before = effect.mode()
	local _ <close> = setmetatable({}, { __close = function()
		client:close()
		effect.mode(before)
	end })
	begin_run()
	effect.mode(mode)
	return f(client, object)
end

-- A body for `it`: f on the plain server, as its superuser.
function P.on(f)
	return function()
		return P.with(os.getenv "OPSH_POSTGRES_SUPER_URL", nil, f)
	end
end

return P
