-- session: one run of the program: its mode, targets, record and exit. Owns the
-- configuration once read, the clients made so far, and the run's beginning
-- and end. Every command that reaches a target starts one.
local effect = require "opsh.c.effect"
local sys = require "opsh.c.sys"

-- No folder can be made here.
local NOWHERE = "/dev/null/neither XDG_STATE_HOME nor HOME is set"

local session = {
	globals = {},		-- parsed global options
	objects = setmetatable({}, { __mode = "k" }),	-- client -> opsh.target
	clients = {},		-- target name -> client
	began = nil,		-- what the run is, once begun
	identities = nil,	-- of a resumed run: target name -> who it was
	step = nil,		-- name of the step that was begun last
	undos = {},		-- finished steps that can be undone
	unverified = {},	-- steps done without a verify
}

---The folder of all runs: $XDG_STATE_HOME/opsh/runs, ~/.local/state else.
---@return string
function session.runs_dir()
	local state = sys.getenv "XDG_STATE_HOME"
	if state and state:sub(1, 1) == "/" then
		return state .. "/opsh/runs"
	end
	local home = sys.getenv "HOME"
	if not home or home:sub(1, 1) ~= "/" then
		require("run.fail").config("neither XDG_STATE_HOME nor HOME names a "
			.. "folder for the journal")
	end
	return home .. "/.local/state/opsh/runs"
end

---The configuration: targets file and --target options, read once.
---@return table
function session.config()
	if not session.configuration then
		local targets = require "run.targets"
		local opts = { secret = require "opsh.secret" }
		local config = targets.load(session.globals.targets, opts)
		for _, text in ipairs(session.globals.target or {}) do
			targets.add(config, text, opts)
		end
		if sys.getenv "OPSH_SESSION" then
			require("run.inherited").add_targets(config, opts)
		end
		session.configuration = config
		for _, name in ipairs(session.globals.approve or {}) do
			if not config.targets[name] and name ~= "local" then
				require("run.fail").usage("--approve: there is no target '%s'",
					name)
			end
		end
	end
	return session.configuration
end

local function approved(name)
	for _, other in ipairs(session.globals.approve or {}) do
		if other == name then return true end
	end
	return false
end

-- A guard that --approve waives is waived for this target only, on record.
local function waive(object)
	if approved(object:name()) then
		object:pass("", "approve")
		if session.began then
			effect.record("guard", { target = object:name(), how = "approve",
				text = "--approve " .. object:name() })
		end
	end
end

---The client of a target of the configuration; nothing is sent before its use.
---@param target table
---@param role? string
---@return any client
function session.client(target, role)
	local client = session.clients[target.name]
	if not client then
		local object
		client, object = require("run.targets").open(target, role)
		session.clients[target.name] = client
		session.objects[client] = object
		waive(object)
	end
	return client
end

-- Clients that a client has opened: another database of its server.
local function of_kind(client)
	local kind = package.loaded["opsh.postgres"]
	return kind and type(client) == "userdata" and kind.target(client) or nil
end

---The opsh.target behind a client; raises for anything else.
---@param client any
---@return userdata
function session.target_of(client)
	local object = client ~= nil and session.objects[client]
	if not object and client ~= nil and (client == package.loaded["opsh.sh"]
		or client == package.loaded["opsh.fs"]) then
		object = session.host()
	end
	object = object or of_kind(client)
	if not object then
		require("run.fail").usage("a target expected, got %s", type(client))
	end
	return object
end

---Is there a person who can answer? Not in CI, nor without a terminal.
---@return boolean
function session.interactive()
	local term = require "opsh.c.term"
	return (sys.getenv "CI" or "") == "" and term.is_tty(0) and term.is_tty(2)
end

-- --approve local holds for the machine itself.
local function waive_host()
	local host = require("opsh.c.target").host()
	if not session.has_host then
		session.has_host = true
		waive(host)
	end
	return host
end

---The machine itself, for processes, files, os and io. Whoever is given it has
---had the targets file read: is the environment protected?
---@return userdata
function session.host()
	session.config()
	return waive_host()
end

---Begins the run: from here each effect is recorded. fields: what the first
---record says of it (command, playbook, params ...).
---@param mode "read"|"plan"|"write"
---@param fields table
---@param now boolean open the journal at once, not with the first record
---@return string run id
function session.begin(mode, fields, now)
	if sys.getenv "OPSH_SESSION" then
		local inherited = require "run.inherited"
		mode, fields.session = inherited.mode(mode), inherited.session().run
		effect.session(mode == "read")
	end
	effect.mode(mode)
	-- what needs no journal needs no place for one; what does is refused then
	local found, dir = pcall(session.runs_dir)
	if not found and now then error(dir, 0) end
	local run = effect.begin_run(found and dir or NOWHERE)
	session.began = { run = run, mode = mode, at = require("opsh.c.task").now() }
	fields.run, fields.mode, fields.version = run, mode, sys.version
	fields.user, fields.host = sys.getenv "USER" or sys.euid(), sys.hostname()
	fields.pid, fields.boot = sys.pid(), (sys.read(
		"/proc/sys/kernel/random/boot_id", 64) or ""):gsub("%s", "")
	fields.uid = sys.euid()
	effect.header(fields)
	waive_host()
	if now then session.began.dir = effect.open_run() end
	return run
end

---Goes on with a run of the past, in write mode: its journal is appended to; a
---torn last record is kept aside first.
---@param past table run, dir
function session.resume(past)
	local torn = effect.resume_run(session.runs_dir(), past.run)
	effect.mode "write"
	session.began = { run = past.run, mode = "write", dir = past.dir,
		at = require("opsh.c.task").now() }
	effect.record("resume", { version = sys.version, pid = sys.pid(),
		user = sys.getenv "USER" or sys.euid(), host = sys.hostname(),
		torn = torn }, true)
	waive_host()
end

---The mode that a command which runs user code starts with.
---@return "read"|"write"
function session.default_mode()
	if session.config().protected and not session.globals.write then
		return "read"
	end
	return "write"
end

return session
