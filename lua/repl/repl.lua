-- repl: a session at a terminal: reads entries and runs them until the person
-- leaves. Makes ctx, which commands, completion and views get. A session is one
-- run: one record, one mode. Owns the loop; what an entry is, and how it is run,
-- is in reader and entry.
local effect = require "opsh.c.effect"
local entry = require "repl.entry"
local session = require "run.session"
local task = require "opsh.c.task"
local term = require "opsh.c.term"

local repl = {}

local HUP = 129

local function greet(ctx)
	local config = ctx.config()
	local name = config.environment ~= "" and " on " .. config.environment or ""
	local why = config.protected and effect.mode() == "read"
		and "it is protected: reads only, until :write 10m REASON\n" or ""
	term.write(2, ("opsh %s%s; :help, Ctrl-D leaves\n%s"):format(
		require("opsh.c.sys").version, name, why))
end

local function context()
	local jobs = require("repl.jobs").new()
	local ctx
	ctx = {
		env = require("run.env").new(true),	-- of entries
		last = {},			-- results, newest first
		config = session.config,
		settings = require("repl.settings").fill {},	-- of :set
		jobs = jobs,			-- those that run: jobs.list
		history = nil,
		entry = 0,			-- number of the newest
		entries = {},			-- number -> text
		worked = {},			-- number -> it ended well
		gave = {},			-- number -> it had a result
		failures = {},			-- target -> why it can't be reached
		show = function(results) entry.show(ctx, results) end,
		globals = session.globals,
		---Ends the session once the entry has ended.
		quit = function(code) ctx.left = code or 0 end,
		---Runs a text as an entry of its own would be.
		run = function(text) return entry.run(ctx, text) end,
		---The next line begins as this text.
		edit = function(text) ctx.text = text end,
	}
	ctx.env.help = require("repl.help").new(ctx)
	ctx.refresh = function() require("repl.catalog").refresh(ctx) end
	return ctx
end

-- Ctrl-D at an empty prompt: what still runs is asked about once.
local function leaves(ctx, asked)
	local n = #ctx.jobs.list
	if n == 0 or asked then return true end
	term.write(2, ("%s still running; Ctrl-D again ends %s\n"):format(
		n == 1 and "a job is" or n .. " jobs are", n == 1 and "it" or "them"))
	return false
end

-- When a window of write mode ends, the prompt that is shown says so.
local function watch_window(ctx)
	if ctx.window or not effect.window() then return end
	ctx.window = task.spawn(function()
		while effect.window() do task.sleep(effect.window()) end
		ctx.window = nil
		if ctx.renew_prompt then ctx.renew_prompt() end
	end)
end

local function loop(ctx)
	local reader, prompt = require "repl.reader", require "repl.prompt"
	local asked = false
	while not ctx.left and not session.exit do
		prompt.title(ctx)
		local start = ctx.text
		ctx.text = nil
		local text, why = reader.read(ctx, start)
		if why == "gone" then return HUP end
		if why == "eof" then
			if leaves(ctx, asked) then return 0 end
			asked = true
		elseif text then
			asked = false
			while text and text:find "%S" do
				ctx.history:add(text)
				entry.run(ctx, text)
				watch_window(ctx)
				require("repl.seen").entry(ctx, text)
				-- what :edit has made of it
				text, ctx.next_entry = ctx.next_entry, nil
			end
		end
	end
	return ctx.left or 0
end

---Runs a session; its result is the exit code.
---@return integer
function repl.main()
	collectgarbage "restart"
	local mode = session.default_mode()
	session.quiet = true
	session.begin(mode, { command = "repl" }, false)
	require("opsh.c.session").attend(true)
	local line = require "opsh.c.line"
	line.open()
	local at_end <const> = setmetatable({}, { __close = function()
		require("repl.prompt").title(nil)
		line.close()
		session.quiet = effect.status().writes == 0
	end })
	local ctx = context()
	do
		local _ <close> = at_end
		ctx.history = require("repl.history").open()
		greet(ctx)
		local code = loop(ctx)
		ctx.jobs:cancel()
		require("repl.catalog").stop(ctx)
		if ctx.window then ctx.window:cancel() end
		return code
	end
end

return repl
