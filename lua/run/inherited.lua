-- inherited: what a run that a session of the REPL started (`:run`) is told by it:
-- the session's run, its mode, the targets that were added there. Read once, from
-- the environment; programs that the run starts are not given it. Must not raise a
-- mode: a session can only take write mode away.
local sys = require "opsh.c.sys"

local inherited = {}

local said

---What the session said; nil: no session started this.
---@return {run?: string, mode?: string, targets?: string[]}?
function inherited.session()
	if said == nil then
		local text = sys.getenv "OPSH_SESSION"
		said = text and require("opsh.c.json").decode(text) or false
	end
	return said or nil
end

---The mode that was asked for, or read when the session is read-only.
---@param mode "read"|"plan"|"write"
---@return "read"|"plan"|"write"
function inherited.mode(mode)
	local from = inherited.session()
	return mode == "write" and from and from.mode == "read" and "read" or mode
end

---Adds the targets of the session.
---@param config table
---@param opts {secret: table}
function inherited.add_targets(config, opts)
	local from = inherited.session()
	for _, name in ipairs(from and from.targets or {}) do
		local url = sys.getenv("OPSH_SESSION_URL_" .. name)
		local password = sys.getenv("OPSH_SESSION_PASSWORD_" .. name)
		if url then
			local target = require("run.targets").add(config,
				name .. "=" .. url, opts)
			if password then
				target.options.password = opts.secret.value(password, name)
			end
		end
	end
end

return inherited
