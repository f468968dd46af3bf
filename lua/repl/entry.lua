-- entry: runs one entry as a task of its own, which Ctrl-C is for; shows how long
-- it takes, then its results or its error. Owns the numbering of entries. What
-- it spawned and still runs becomes jobs of the session.
local chunk = require "repl.chunk"
local session = require "run.session"
local task = require "opsh.c.task"
local term = require "opsh.c.term"

local entry = {}

local LONG = 1			-- seconds from which the time is told

local function duration(seconds)
	if seconds < 60 then return ("%.1f s"):format(seconds) end
	return ("%d min %02d s"):format(seconds // 60, math.floor(seconds % 60))
end

local function in_progress()
	local progress = package.loaded["opsh.progress"]
	return progress and progress._active and progress._active()
end

-- While it runs: its time, in the status line, unless something better is there.
local function clock(began, text)
	local first = text:match "^%s*([^\n]*)"
	return task.spawn(function()
		task.sleep(LONG)
		while true do
			if not in_progress() then
				term.status(("%s  %s  (Ctrl-C stops it)"):format(
					duration(task.now() - began), first))
			end
			task.sleep(1)
		end
	end)
end

---Shows the results of an entry.
---@param ctx table
---@param results table as of table.pack
function entry.show(ctx, results)
	require("repl.show").values(ctx, table.unpack(results, 1, results.n))
end

---Tells an error, and the writes that are in doubt since the entry began.
---@param ctx table
---@param e any
---@param text? string of the entry
---@param began number as task.now
function entry.fail(ctx, e, text, began)
	local err = require "opsh.c.err"
	if err.is(e) and e.kind == "cancelled" and e.code == "SIGINT" then
		term.write(2, "interrupted\n")
	else
		require("repl.errors").show(ctx, e, text)
	end
	entry.doubt(began)
end

---Tells the writes that were given up since then without a reply, if any.
---@param began number as task.now
function entry.doubt(began)
	if require("opsh.c.effect").status().doubts == 0 then return end
	local doubt = require "run.doubt"
	local read, intents = pcall(doubt.list, began)
	if not read or intents[1] then
		term.write(2, doubt.text(read and intents or {}))
	end
end

-- What is to be run, as a function; raises usage.
local function compile(ctx, text)
	local command = require "repl.command"
	if command.is(text) then
		return function() command.run(ctx, text) end
	end
	local run, why = chunk.compile(text, "=entry " .. ctx.entry, ctx.env)
	if not run then
		require("run.fail").raise { kind = "usage", message = why == "more"
			and "the entry is not whole" or why }
	end
	return run
end

local function record(ctx, text)
	local history = require "repl.history"
	local _, why = history.keeps(text, term.mask)
	local ok, e = pcall(require("opsh.c.effect").record, "entry", {
		n = ctx.entry, text = why == "secret"
			and "(left out: it may hold a secret)" or text })
	if not ok and not ctx.unrecorded then
		ctx.unrecorded = true
		require("opsh.log").warn(("entries are not recorded: %s"):format(
			require("run.fail").text(e)))
	end
end

-- How a job ended, above the line that is edited.
local function ended(ctx)
	return function(job, e)
		local err = require "opsh.c.err"
		if session.exit then	-- by os.exit in the job
			return require("opsh.c.line").interrupt()
		end
		if e == nil then
			term.write(2, ("job %d is done after %s\n"):format(job.id,
				duration(task.now() - job.began)))
		elseif err.is(e) and e.kind == "cancelled" then
			term.write(2, ("job %d was cancelled\n"):format(job.id))
			entry.doubt(job.began)
		else
			term.write(2, ("job %d failed:\n"):format(job.id))
			entry.fail(ctx, e, job.text, job.began)
		end
	end
end

-- Why a target can't be reached, for `:targets`: until a call of it works again.
local function note_failure(ctx, e)
	local err = require "opsh.c.err"
	if err.is(e) and e.target and (e.kind == "connect" or e.kind == "tls"
		or e.kind == "auth" or e.kind == "timeout") then
		ctx.failures[e.target] = e.message
	end
end

---Runs an entry. Returns when it has ended, whatever it ended with; raises only
---when the session itself is to end.
---@param ctx table
---@param text string
---@return boolean ok
function entry.run(ctx, text)
	ctx.entry = ctx.entry + 1
	ctx.entries[ctx.entry] = text
	record(ctx, text)
	local began, released, ticker = task.now(), {}, nil
	ctx.took = nil
	local handle = task.spawn(function()
		local run = compile(ctx, text)
		local results = table.pack(run())
		ctx.gave[ctx.entry] = results[1] ~= nil
		ctx.took = task.now() - began
		if ticker then ticker:cancel() end	-- no status line in a pager
		if not in_progress() then term.status(nil) end
		entry.show(ctx, results)
		released = task.release()
	end)
	task.foreground(handle)
	ticker = clock(began, text)
	local ok, e = pcall(handle.wait, handle)
	task.foreground(nil)
	ticker:cancel()
	if not in_progress() then term.status(nil) end
	ctx.jobs:add(released, ctx.entry, text, ended(ctx))
	if session.exit then return ok end
	ctx.worked[ctx.entry] = ok
	note_failure(ctx, e)
	if not ok then entry.fail(ctx, e, text, began) end
	local took = ctx.took or task.now() - began
	if took >= LONG and ctx.settings.timing then
		term.ours(2, term.style("muted", ("(%s)"):format(duration(took)), 2)
			.. "\n")
	end
	return ok
end

return entry
