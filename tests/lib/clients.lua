-- clients: what the specs of a binding with a server share: clients that are closed
-- at a test's end. Loaded with dofile by the binding's own file beside this one. Owns
-- nothing: the servers are those of examples/stack.
local effect = require "opsh.c.effect"
local target = require "opsh.c.target"
local secret = require "opsh.secret"
local url = require "run.url"

-- One journal for all specs of the process.
local function begin_run()
	if package.loaded["spec.clients.run"] then return end
	package.loaded["spec.clients.run"] = true
	effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
end

-- open, with and on of the binding's kind: targets called `name`, the plain server at
-- the URL in the variable `variable`.
return function(kind, name, variable)
	local M = {}

	-- A client for the URL; every destructive verb is let through.
	function M.open(text, opts)
		local object = target.new { name = name, kind = kind.name,
			role = opts and opts.role }
		local options = { url = text and url.parse(text, secret.value) }
		for k, v in pairs(opts or {}) do
			if k ~= "role" then options[k] = v end
		end
		object:pass("", "spec")
		return kind.connect(object, options), object
	end

	-- Runs f(client, target object); closes the client whatever happens. Mode is
	-- "write", or opts.mode.
	function M.with(text, opts, f)
		local mode = opts and opts.mode or "write"
		local own = {}
		for k, v in pairs(opts or {}) do
			if k ~= "mode" then own[k] = v end
		end
		local client, object = M.open(text, own)
		local before = effect.mode()
		local _ <close> = setmetatable({}, { __close = function()
			client:close()
			effect.mode(before)
		end })
		begin_run()
		effect.mode(mode)
		return f(client, object)
	end

	-- A body for `it`: f on the plain server.
	function M.on(f)
		return function() return M.with(os.getenv(variable), nil, f) end
	end

	return M
end
