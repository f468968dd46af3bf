-- report: how results, prints and the end reach the person: text, or one JSON
-- object a line (every line parses, whatever happens). One report a run. Owns
-- the formats of --output; must not decide what happens.
local term = require "opsh.c.term"

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

function Text.text(_, text) term.write(1, text) end

---"12 ms", "1.5 s".
---@param seconds number
---@return string
function report.duration(seconds)
	if seconds < 1 then return ("%.0f ms"):format(seconds * 1000) end
	return ("%.1f s"):format(seconds)
end
local duration = report.duration

-- What a step ended with: the word and its style.
local function mark_of(fields)
	if fields.state ~= "done" then return fields.state, "error" end
	if fields.writes > 0 and not fields.verified then
		return "done, unverified", "warn"
	end
	return "ok", "ok"
end

function Text.step(fields)
	if fields.state == "begin" then return end
	local mark, style = mark_of(fields)
	local writes = fields.writes > 0 and ", "
		.. require("run.words").count(fields.writes, "write")
	term.ours(2, ("%s  %s  (%s%s)\n"):format(term.style(style, mark, 2),
		(term.cell(fields.name)), duration(fields.duration), writes or ""))
end

-- A plan says who has the lock; what goes wrong is said by opsh.log.
function Text.lock(fields)
	if fields.state == "held" then
		say(("lock '%s' is held by %s\n"):format(fields.resource, fields.why))
	elseif fields.state == "free" then
		say(("lock '%s' is free\n"):format(fields.resource))
	elseif fields.state == "unreachable" and not fields.store then
		say(("who holds lock '%s' is not known: %s\n"):format(fields.resource,
			fields.why))
	end
end

-- What of C tells its caller's author nothing.
local C_FRAMES = { "^%[C%]: in %?", "^%[C%]: in function 'x?pcall'",
	"^%[C%]: in function 'error'", "^%[C%]: in function 'try'" }

local function is_ours(frame)
	if frame:find "^opsh:" or frame:find "^%(%.%.%." then return true end
	for _, pattern in ipairs(C_FRAMES) do
		if frame:find(pattern) then return true end
	end
	return false
end

---The frames of the user's code; nil when the message has said as much.
---@param message string
---@param traceback string
---@return string?
function report.frames(message, traceback)
	local lines, last, news = {}, 0, false
	local at = message:match "^(.-:%d+:) "
	for text in traceback:gmatch "\t([^\n]*)" do
		if not is_ours(text) then
			lines[#lines + 1] = text
			if not text:find "^%[C%]:" then
				last = #lines
				news = news or not at or text:sub(1, #at) ~= at
			end
		end
	end
	if last == 0 then		-- an error of ours: all of it is wanted
		return message:find "^opsh:" and traceback or nil
	end
	return news and "stack traceback:\n\t" .. table.concat(lines, "\n\t", 1,
		last) or nil
end

---A message of many lines can't pass for a line of ours.
---@param text any
---@return string
function report.indented(text)
	return (tostring(text):gsub("\n", "\n  "))
end
local indented = report.indented

---Target, call, code, phase, outcome, as far as an error has them; nil: none.
---@param e opsh.error
---@return string?
function report.facts(e)
	local parts = {}
	for _, name in ipairs { "target", "op", "code", "phase", "outcome" } do
		if e[name] then parts[#parts + 1] = name .. " " .. tostring(e[name]) end
	end
	return parts[1] and table.concat(parts, " · ")
end

---What else an error says, a line or more each: detail, the statement with its
---caret, what went wrong besides.
---@param e opsh.error
---@return string[]
function report.details(e)
	local lines = {}
	if e.detail then lines[#lines + 1] = "detail: " .. indented(e.detail) end
	if e.sql then lines[#lines + 1] = indented(e.sql) end
	if e.suppressed then lines[#lines + 1] = "also: " .. indented(e.suppressed) end
	return lines
end

function Text.error(_, e)
	local err = require "opsh.c.err"
	if not err.is(e) then
		say("opsh: " .. indented(report.thrown(e)) .. "\n")
		return
	end
	say(("opsh: %s: %s%s\n"):format(e.kind, indented(e.message),
		e.where and " (at " .. tostring(e.where) .. ")" or ""))
	local facts = report.facts(e)
	if facts then say("  " .. facts .. "\n") end
	for _, text in ipairs(report.details(e)) do say("  " .. text .. "\n") end
	if e.hint then say("  hint: " .. indented(e.hint) .. "\n") end
	local trace = e.kind == "lua" and type(e.traceback) == "string"
		and report.frames(tostring(e.message), e.traceback)
	if trace then say(trace .. "\n") end
end

function Text.doubt(_, intents) say(require("run.doubt").text(intents)) end

function Text.done(_, fields)
	if not fields.dir or fields.quiet then return end
	say(("run %s: exit %d after %s, %s%s; journal %s\n"):format(
		fields.run, fields.code, duration(fields.duration),
		require("run.words").count(fields.writes, "write"),
		fields.withheld > 0 and (", %d withheld"):format(fields.withheld) or "",
		fields.dir))
end

-- jsonl -----------------------------------------------------------------------

local Jsonl = {}
Jsonl.__index = Jsonl

local DEPTH = 100	-- json takes 128 levels

-- A value without an address in it: that would differ from run to run.
local function text_of(v)
	local meta = debug.getmetatable(v)
	if type(meta) == "table" and meta.__tostring then
		local ok, text = pcall(tostring, v)
		return ok and text or type(v)
	end
	return type(v)
end

-- Elements 1 to n, with null for what is missing; nil: it is no list.
local function length(t)
	local n, count = 0, 0
	for k in pairs(t) do
		if math.type(k) ~= "integer" or k < 1 then return nil end
		n, count = math.max(n, k), count + 1
	end
	return n <= 2 * count and n or nil
end

local plain

local function plain_table(v, seen, depth)
	local json = require "opsh.c.json"
	local array = debug.getmetatable(json.array())
	if seen[v] then return "(a table within itself)" end
	if depth > DEPTH then return "..." end
	seen[v] = true
	local out = {}
	local n = length(v)
	if n and (n > 0 or debug.getmetatable(v) == array) then
		for i = 1, n do
			out[i] = v[i] == nil and term.null or plain(v[i], seen, depth + 1)
		end
		json.array(out)
	else
		for k, item in pairs(v) do
			local name = (type(k) == "table" or type(k) == "userdata")
				and text_of(k) or tostring(k)
			out[name] = plain(item, seen, depth + 1)
		end
	end
	seen[v] = nil
	return out
end

-- Objects (with methods, or to be closed) and empty ones are what they print as;
-- a list or a record is data, whatever it prints as.
local function is_object(v, meta)
	if type(meta) ~= "table" or not meta.__tostring
		or meta.__name == "opsh.result" then
		return false
	end
	return next(v) == nil or (length(v) or 0) == 0
		and (meta.__index or meta.__close or meta.__gc) ~= nil
end

-- What stands for data says which, by __tojson; what a plan does not know yet
-- has one that raises.
local function said(meta)
	return type(meta) == "table" and meta.__name ~= "opsh.unknown"
		and meta.__tojson or nil
end

-- What JSON has no word for is shown as text.
function plain(v, seen, depth)
	if type(v) == "userdata" then	-- an object of C that stands for rows
		local meta = debug.getmetatable(v)
		if type(meta) == "table" and meta.__pairs and meta.__tojson then
			v = meta.__tojson(v)
		end
	end
	local kind = type(v)
	local meta = (kind == "table" or kind == "userdata") and debug.getmetatable(v)
	local tojson = depth <= DEPTH and said(meta)
	if tojson then return plain(tojson(v), seen, depth + 1) end
	if kind == "table" then
		local err = require "opsh.c.err"
		if err.is(v) then
			v = { kind = v.kind, code = v.code, message = v.message,
				target = v.target, op = v.op, phase = v.phase,
				outcome = v.outcome, hint = v.hint }
		elseif is_object(v, meta) then
			return text_of(v)
		end
		return plain_table(v, seen, depth)
	elseif kind == "number" and (v ~= v or v == math.huge
		or v == -math.huge) then
		return v ~= v and "nan" or tostring(v)
	elseif kind == "string" or kind == "number" or kind == "boolean"
		or v == term.null then
		return v
	end
	return text_of(v)
end

local PARTIAL = 65536
local partial = ""	-- what was written after the last end of a line

local function line(fields)
	local json = require "opsh.c.json"
	if partial ~= "" then
		local text = partial
		partial = ""
		line { type = "print", text = text }
	end
	term.write(1, json.encode(plain(fields, {}, 0), { binary = "escape" })
		.. "\n")
end

-- One object a print; pieces of io.write are gathered up to the line's end.
function Jsonl.print(text)
	partial = partial .. text
	if partial:sub(-1) == "\n" or #partial > PARTIAL then
		text, partial = partial:gsub("\n$", ""), ""
		line { type = "print", text = text }
	end
end

-- Help and the like, which has no rows.
function Jsonl.text(_, text)
	line { type = "text", text = (text:gsub("\n$", "")) }
end

function Jsonl.result(_, ...)
	for n = 1, select("#", ...) do
		local value = select(n, ...)
		if value == nil then value = term.null end
		line { type = "result", value = value }
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

function Jsonl.lock(fields)
	local out = { type = "lock" }
	for k, v in pairs(fields) do out[k] = v end
	line(out)
end

function Jsonl.error(_, e, code)
	local err = require "opsh.c.err"
	if not err.is(e) then
		local ok, value = pcall(plain, e, {}, 0)
		e = { kind = "lua", message = report.thrown(e),
			value = ok and value or nil }
	end
	line { type = "error", kind = e.kind, code = e.code, message = e.message,
		target = e.target, op = e.op, phase = e.phase, outcome = e.outcome,
		hint = e.hint, where = e.where, value = e.value, exit = code }
end

function Jsonl.doubt(_, intents)
	for _, r in ipairs(intents) do
		line { type = "doubt", step = r.step, target = r.target, verb = r.verb,
			write = r.request, at = r.t }
	end
end

function Jsonl.done(_, fields)
	line { type = "end", run = fields.run, exit = fields.code,
		duration = fields.duration, writes = fields.writes,
		withheld = fields.withheld, journal = fields.dir }
end

-- What was raised and is no error object, as text.
function report.thrown(e)
	if type(e) == "string" then return e end
	if type(e) ~= "table" then return text_of(e) end
	local ok, text = pcall(plain, e, {}, 0)	-- its metamethods may raise
	if not ok then return "table" end
	return type(text) == "string" and text or "error value "
		.. require("opsh.c.json").encode(text, { binary = "escape" })
end

local FORMATS = { text = Text, jsonl = Jsonl }

---The report of this run.
---@param format? "text"|"jsonl"
---@return table
function report.new(format)
	return setmetatable({}, FORMATS[format or "text"])
end

return report
