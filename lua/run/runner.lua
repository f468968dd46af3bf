-- runner: a playbook from its file to its end: load, parameters, targets, checks
-- before the first write, the run itself, undo, the plan's list. Owns the order
-- of these.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local sys = require "opsh.c.sys"
local env = require "run.env"
local fail = require "run.fail"
local params = require "run.params"
local playbook = require "run.playbook"
local session = require "run.session"
local targets = require "run.targets"
local words = require "run.words"
local task = require "opsh.task"

local runner = {}

local function names_with_targets()
	local names = env.names()
	for name in pairs(session.config().targets) do names[name] = true end
	return names
end

local function load_playbook(path)
	return playbook.load(path, { env = env.new(true),
		env_names = names_with_targets(), is_module = env.is_module })
end

-- Before the first write: is each target there, and what it should be?
local function preflight(pb, clients, chosen)
	for _, name in ipairs(words.sorted(clients)) do
		local ping = require("opsh." .. chosen[name].kind).kind.ping
		if ping and pb.needs[name].reach ~= false then ping(clients[name]) end
		local object = session.target_of(clients[name])
		local wanted = chosen[name].role
		if wanted and object:role() and object:role() ~= wanted then
			error(err.new { kind = "check", code = "ROLE",
				target = object:name(), message = ("'%s' (%s) is a %s, a %s is "
				.. "needed"):format(object:name(), object:address() or "?",
				object:role(), wanted) }, 0)
		end
	end
end

-- What the playbook itself wants to be true before its first write. A check
-- says no by false and why not, or by any error of Lua's, such as assert's.
local function run_checks(pb, clients, values)
	for _, check in ipairs(pb.checks or {}) do
		local done, ok, why = pcall(check.run, clients, values)
		local e = not done and ok or nil
		if e and err.is(e) and e.kind ~= "lua" then error(e, 0) end
		if e then ok, why = false, fail.text(e) end
		effect.record("check", { name = check.name, ok = ok ~= false,
			why = ok == false and why or nil })
		if ok == false then
			error(err.new { kind = "check", message = ("check '%s' failed: %s")
				:format(check.name, why or "it said no") }, 0)
		end
	end
end

-- Programs that the playbook needs, by PATH.
local function check_binaries(pb)
	for _, name in ipairs(pb.binaries or {}) do
		local found = false
		for dir in (sys.getenv "PATH" or ""):gmatch "[^:]+" do
			local st = sys.stat(dir .. "/" .. name)
			found = found or st ~= nil and st.type == "file"
				and st.mode & 73 ~= 0	-- executable by somebody
		end
		if not found then
			error(err.new { kind = "check", message = ("program '%s' is "
				.. "needed and not in PATH"):format(name) }, 0)
		end
	end
end

local function open_clients(pb, chosen)
	local clients = {}
	for name, target in pairs(chosen) do
		local need = pb.needs[name]
		clients[name] = session.client(target, need and need.role)
	end
	return clients
end

local function describe_targets(chosen)
	local out = {}
	for name, target in pairs(chosen) do
		out[name] = { target = target.name, kind = target.kind,
			address = target.address }
	end
	return out
end

-- The playbook as run lies beside its journal.
local function keep_copy(pb)
	local ok, why = sys.save(session.began.dir .. "/playbook.lua", pb.source)
	if not ok then
		error(err.new { kind = "journal", message = ("cannot keep a copy of "
			.. "the playbook: %s"):format(why) }, 0)
	end
end

-- In reverse order; an undo that fails is told, and the others go on.
local function undo_all(ctx)
	local term = require "opsh.c.term"
	for n = #session.undos, 1, -1 do
		local u = session.undos[n]
		ctx.err(("undo  %s\n"):format((term.cell(u.name))))
		local ok, e = pcall(u.f, table.unpack(u.results, 2, u.results.n))
		effect.record("undo", { name = u.name, ok = ok,
			error = not ok and fail.text(e) or nil }, true)
		if not ok then
			ctx.err(("undo of '%s' failed: %s\n"):format(
				term.cell(u.name), term.cell(fail.text(e))))
		end
	end
end

local function offer_undo(ctx, args)
	if #session.undos == 0 then return end
	if args.options.undo then return undo_all(ctx) end
	local term = require "opsh.c.term"
	local names = {}
	for n = #session.undos, 1, -1 do
		names[#names + 1] = session.undos[n].name
	end
	ctx.err(("these steps can be undone: %s\n"):format(
		table.concat(names, ", ")))
	if not session.interactive() then
		ctx.err "run with --undo to undo them when a later step fails\n"
	elseif term.prompt("type 'undo' to undo them: ", {}) == "undo" then
		undo_all(ctx)
	end
end

local PLAN_TEXT = 100	-- of a request in a table; jsonl has all of it

-- The plan is a view of the record: what was withheld, in order.
local function print_plan(ctx)
	local journal = require "run.journal"
	local rows = {}
	for record in journal.records(session.began.dir) do
		if record.type == "withheld" then
			rows[#rows + 1] = { ["#"] = #rows + 1, step = record.step,
				target = record.target, class = record.class,
				write = ctx.output == "text"
					and words.shorten(record.request, PLAN_TEXT)
					or record.request, items = record.items,
				asks = record.approval and "approval" or nil }
		end
	end
	if #rows == 0 then
		ctx.err "plan: nothing to write\n"
		return
	end
	ctx.rows(rows, { columns = { "#", "step", "target", "class", "items",
		"asks", "write" }, cap = ctx.output == "text" and 200 or nil })
	ctx.err(("plan: %s withheld, none sent\n"):format(
		words.count(#rows, "write")))
end

-- What may be on record of the parameters: secrets print as their names.
local function shown(values)
	local out = {}
	for name, value in pairs(values) do
		out[name] = type(value) == "userdata" and tostring(value) or value
	end
	return out
end

local function procedure(ctx, pb, args, values, clients)
	run_checks(pb, clients, values)
	local body = function() return pb.run(clients, values) end
	local results = table.pack(fail.protect(pb.timeout
		and function() return task.timeout(pb.timeout, body) end or body))
	if pb.undo and effect.mode() == "write" and effect.status().writes > 0 then
		table.insert(session.undos, 1, { name = pb.name, f = function()
			return pb.undo(clients, values)
		end, results = { n = 1 } })
	end
	if not results[1] then
		if effect.mode() == "plan" then print_plan(ctx) end
		offer_undo(ctx, args)
		error(results[2], 0)
	end
	if pb.verify and effect.mode() ~= "plan" then
		require("run.step")("verify", function()
			local ok, why = pb.verify(clients, values)
			if not ok then
				error(err.new { kind = "verify", message = why
					or "the playbook's verify said no" }, 0)
			end
		end)
	end
	if results.n > 1 then
		ctx.report:result(table.unpack(results, 2, results.n))
	end
end

-- From open targets to the end, undo included, under the playbook's lock. What
-- writes nothing (a plan, read mode) takes none, it says who has it.
local function perform(ctx, pb, args, values, clients)
	if not pb.lock then return procedure(ctx, pb, args, values, clients) end
	local lock = require "run.lock"
	if effect.mode() ~= "write" then
		lock.look(pb)
		return procedure(ctx, pb, args, values, clients)
	end
	local _ <close> = lock.take(pb, clients)
	lock.within(function() procedure(ctx, pb, args, values, clients) end)
end

local function parse_params(pb, list)
	return params.parse(pb.params or {}, list, {
		secret = require("opsh.secret").value, source = pb.path })
end

local function run_playbook(ctx, pb, args, mode)
	local values = parse_params(pb, args)
	local chosen = targets.bind(session.config(), pb.needs or {},
		session.globals.bind)
	session.begin(mode, { command = mode == "plan" and "plan" or "run",
		playbook = sys.realpath(pb.path) or pb.path, name = pb.name,
		sha256 = sys.sha256(pb.source), params = shown(values),
		bind = session.globals.bind, targets = describe_targets(chosen) }, true)
	keep_copy(pb)
	check_binaries(pb)
	local clients = open_clients(pb, chosen)
	preflight(pb, clients, chosen)
	perform(ctx, pb, args, values, clients)
end

local function plan_code(globals)
	local status = effect.status()
	return globals.detailed_exitcode and status.withheld > 0 and 10 or 0
end

---Runs or plans a playbook or script. Its result is the exit code.
---@param ctx table
---@param args string[] the playbook, then NAME=VALUE
---@param mode "write"|"plan"
---@return integer
function runner.run(ctx, args, mode)
	local name = table.remove(args, 1)
	if not name then
		fail.usage("a playbook is needed: opsh run PLAYBOOK [NAME=VALUE ...]")
	end
	session.quiet = args.options.quiet
	local pb = load_playbook(playbook.find(name, ctx.dirs))
	if pb.script then
		return runner.script(ctx, pb, args, mode)
	end
	run_playbook(ctx, pb, args, mode)
	if mode == "plan" then
		print_plan(ctx)
		return plan_code(session.globals)
	end
	return 0
end

---Goes on with an interrupted run of a playbook. Its result is the exit code.
---@param ctx table
---@param args string[] the run, then NAME=VALUE of secret parameters
---@return integer
function runner.resume(ctx, args)
	local resume = require "run.resume"
	local past = resume.load(table.remove(args, 1))
	session.quiet = args.options.quiet
	local pb = load_playbook(past.first.playbook)
	resume.check_playbook(past, pb)
	local values = resume.params(past, args, function(list)
		return parse_params(pb, list)
	end)
	local chosen = targets.bind(session.config(), pb.needs or {},
		past.first.bind or session.globals.bind)
	session.resume(past)
	check_binaries(pb)
	local clients = open_clients(pb, chosen)
	preflight(pb, clients, chosen)
	resume.check_targets(past, clients)
	session.resumed = resume.steps(past)
	session.identities = past.identity
	perform(ctx, pb, args, values, clients)
	return 0
end

---A script: as typed lines would run, in a plan too; the text of -e has no path.
function runner.script(ctx, pb, args, mode)
	session.began = nil
	if mode ~= "plan" then
		local ok, code = fail.protect(require("run.script").file, pb, args)
		if ok then return code end
		offer_undo(ctx, args)
		error(code, 0)
	end
	session.quiet = args.options.quiet
	session.begin("plan", { command = "plan", playbook = pb.path,
		source = not pb.path and pb.source or nil,
		sha256 = sys.sha256(pb.source) }, true)
	local ok, e = fail.protect(pb.chunk, table.unpack(args))
	print_plan(ctx)
	if not ok then error(e, 0) end
	return plan_code(session.globals)
end

return runner
