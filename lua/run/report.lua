-- report: how results, prints and the end reach the person: text, or one JSON
-- object a line (every line parses, whatever happens). One report a run. Owns
-- the formats of --output; must not decide what happens.
local term = require "opsh.c.term"
local session = require "run.session"

local report = {}

local function say(text) term.write(2, text) end

-- text ----------------------------------------------------------------------

local Text = {}
Text.__index = Text

function Text.result(_, ...)
	local show = require "run.show"
	for n = 1, select("#", ...) do
		term.write(1, show.text((select(n, ...))))
	end
end

function Text.rows(_, rows, opts)
	term.write(1, require("opsh.table").format(rows, opts))
end

local function duration(seconds)
	if seconds < 1 then return ("%.0f ms"):format(seconds * 1000) end
	return ("%.1f s"):format(seconds)
end

function Text.step(fields)
	if fields.state == "begin" then return end
	local mark = fields.state == "done" and "ok" or fields.state
	if fields.state == "done" and fields.writes > 0
		and not fields.verified then
		mark = session.began.mode == "plan" and "planned" or "done, unverified"
	end
	say(("%s  %s  (%s%s)\n"):format(term.style(mark == "ok" and "ok"
		or fields.state == "failed" and "error" or "warn", mark), fields.name,
		duration(fields.duration), fields.writes > 0
		and (", %d writes"):format(fields.writes) or ""))
end

function Text.error(_, e, code)
	local err = require "opsh.c.err"
	if not err.is(e) then
		say("opsh: " .. tostring(e) .. "\n")
		return
	end
	say(("opsh: %s: %s%s\n"):format(e.kind, tostring(e.message),
		e.where and " (at " .. e.where .. ")" or ""))
	local parts = {}
	for _, name in ipairs { "target", "op", "code", "phase", "outcome" } do
		if e[name] then parts[#parts + 1] = name .. " " .. tostring(e[name]) end
	end
	if #parts > 0 then say("  " .. table.concat(parts, " · ") .. "\n") end
	if e.suppressed then
		say("  also: " .. tostring(e.suppressed) .. "\n")
	end
	if e.hint then say("  hint: " .. e.hint .. "\n") end
	if e.kind == "lua" and e.traceback then say(e.traceback .. "\n") end
	if code == 13 then
		say("  in doubt: look at the target before you run anything again\n")
	end
end

function Text.done(_, fields)
	if not fields.dir or fields.quiet then return end
	say(("run %s: exit %d after %s, %d writes%s; journal %s\n"):format(
		fields.run, fields.code, duration(fields.duration), fields.writes,
		fields.withheld > 0 and (", %d withheld"):format(fields.withheld) or "",
		fields.dir))
end

-- jsonl -----------------------------------------------------------------------

local Jsonl = {}
Jsonl.__index = Jsonl

-- What JSON has no word for is shown as text.
local function plain(v, depth)
	local kind = type(v)
	if kind == "table" then
		if depth > 16 then return "..." end
		local out = {}
		for k, item in pairs(v) do
			if type(k) == "string" or math.type(k) == "integer" then
				out[k] = plain(item, depth + 1)
			end
		end
		return out
	elseif kind == "number" and (v ~= v or v == math.huge
		or v == -math.huge) then
		return tostring(v)
	elseif kind == "string" or kind == "number" or kind == "boolean"
		or v == term.null then
		return v
	end
	return tostring(v)
end

local function line(fields)
	local json = require "opsh.c.json"
	local ok, text = pcall(json.encode, plain(fields, 0),
		{ binary = "escape" })
	if not ok then
		-- a table that is neither list nor map
		fields.value = tostring(fields.value)
		text = json.encode(plain(fields, 0), { binary = "escape" })
	end
	term.write(1, text .. "\n")
end

function Jsonl.print(text)
	line { type = "print", text = (text:gsub("\n$", "")) }
end

function Jsonl.result(_, ...)
	for n = 1, select("#", ...) do
		line { type = "result", value = (select(n, ...)) }
	end
end

function Jsonl.rows(_, rows)
	for _, row in ipairs(rows) do line { type = "row", value = row } end
end

function Jsonl.step(fields)
	line { type = "step", name = fields.name, state = fields.state,
		duration = fields.duration, writes = fields.writes,
		verified = fields.verified, error = fields.error }
end

function Jsonl.error(_, e, code)
	local err = require "opsh.c.err"
	if not err.is(e) then e = { kind = "lua", message = tostring(e) } end
	line { type = "error", kind = e.kind, code = e.code, message = e.message,
		target = e.target, op = e.op, phase = e.phase, outcome = e.outcome,
		hint = e.hint, where = e.where, exit = code }
end

function Jsonl.done(_, fields)
	line { type = "end", run = fields.run, exit = fields.code,
		duration = fields.duration, writes = fields.writes,
		withheld = fields.withheld, journal = fields.dir }
end

local FORMATS = { text = Text, jsonl = Jsonl }

---The report of this run. Raises kind usage for a format that isn't there.
---@param format? "text"|"jsonl"
---@return table
function report.new(format)
	local class = FORMATS[format or "text"]
	if not class then
		require("run.fail").usage("--output %s is not built in (text, jsonl)",
			format)
	end
	return setmetatable({}, class)
end

return report
