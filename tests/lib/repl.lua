-- repl: for specs of `:` commands: a session without a terminal, whose output is
-- kept, with targets of its own; the runner's session is put back afterwards. Loaded
-- with dofile. Owns the clients that were made in it.
local command = require "repl.command"
local session = require "run.session"
local settings = require "repl.settings"
local targets = require "run.targets"

local M = {}

---A ctx whose output is kept: said() gives it and forgets it.
function M.ctx(env)
	local parts = {}
	local ctx = { env = env or setmetatable({}, { __index = _G }),
		settings = settings.fill {}, jobs = require("repl.jobs").new(), interactive = false,
		screen = { tty = false, width = 80, height = 24 } }
	function ctx.out(text) parts[#parts + 1] = text end
	ctx.err = ctx.out
	function ctx.said()
		local text = table.concat(parts)
		parts = {}
		return text
	end
	function ctx.run(text)
		local result = command.run(ctx, text)
		return ctx.said(), result
	end
	return ctx
end

---f(ctx, config) with these targets (NAME=URL); options: protected, environment,
---runs: the folder of the journals. Its clients are closed at the end.
function M.with(list, options, f)
	local kept = {}
	local fields = { "globals", "configuration", "clients", "objects", "added",
		"began", "report", "runs_dir" }
	for _, name in ipairs(fields) do kept[name] = session[name] end
	local config = targets.empty()
	for _, text in ipairs(list) do
		targets.add(config, text, { secret = require "opsh.secret" })
	end
	for name, value in pairs(options) do
		if name ~= "runs" then config[name] = value end
	end
	session.globals, session.configuration = {}, config
	session.clients = {}
	session.objects = setmetatable({}, { __mode = "k" })
	session.added, session.began, session.report = nil, nil, false
	if options.runs then
		session.runs_dir = function() return options.runs end
	end
	local _ <close> = setmetatable({}, { __close = function()
		for _, client in pairs(session.clients) do
			if client.close then client:close() end
		end
		for _, name in ipairs(fields) do session[name] = kept[name] end
	end })
	return f(M.ctx(require("run.env").new(true)), config)
end

return M
