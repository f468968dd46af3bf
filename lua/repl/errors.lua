-- errors: an error as the person at the prompt reads it: what, where (the line of
-- the entry with a caret), why, and what to try. Keeps the last ones, with their
-- tracebacks, for `:errors`. Owns the form; advice is repl.advice.
local advice = require "repl.advice"
local caret = require "repl.caret"
local err = require "opsh.c.err"
local report = require "run.report"
local term = require "opsh.c.term"

local errors = {}

local KEPT <const> = 20
local MESSAGE <const> = 4000		-- bytes of a message that are shown

-- "entry 3:2: what" or, of an error object, where = "entry 3:2".
local function split(e)
	local message = tostring(e.message)
	local n, line, rest = message:match "^entry (%d+):(%d+): (.*)$"
	if n then return rest, tonumber(n), tonumber(line) end
	n, line = tostring(e.where or ""):match "^entry (%d+):(%d+)$"
	return message, tonumber(n), tonumber(line)
end

local function shortened(text)
	if #text <= MESSAGE then return text end
	return ("%s (%d bytes in all)"):format(
		require("run.words").shorten(text, MESSAGE), #text)
end

local function escaped(text)
	return (term.escape(term.mask(shortened(text)), true))
end

-- Foreign text for a line of ours; its own lines are set in.
local function clean(text) return escaped(report.indented(text)) end

-- A traceback is of use where there is more than the entry's own line.
local function wants_trace(ctx)
	local set = ctx.settings and ctx.settings.traceback
	return set == true or set == "on"
end

local function add_place(lines, place, many)
	if not place or not (place.column or many) then return end
	local text, mark = caret.draw(place, term.width)
	local head = many and ("%d | "):format(place.line) or ""
	lines[#lines + 1] = "  " .. term.style("muted", head, 2)
		.. term.escape(term.mask(text))
	if mark then
		lines[#lines + 1] = (" "):rep(2 + #head) .. mark:sub(1, -2)
			.. term.style("error", "^", 2)
	end
end

-- Anything that was raised, as an error object's fields.
local function fields_of(e)
	if err.is(e) then return e end
	local plain = e == nil or type(e) == "number" or type(e) == "boolean"
	return { kind = "lua", message = plain and tostring(e) or report.thrown(e) }
end

---The lines of an error.
---@param ctx table entries: number -> text; settings.traceback
---@param e any
---@param text? string of the entry
---@param whole? boolean with its traceback
---@return string text for term.ours, whole lines
function errors.text(ctx, e, text, whole)
	e = fields_of(e)
	local message, number, line = split(e)
	text = number and ctx.entries and ctx.entries[number] or text
	local place = number and text and caret.find(text, line, message, e.op)
	local kind = e.kind == "lua" and "error" or tostring(e.kind)
	local lines = { term.style("error", kind, 2) .. ": " .. clean(message) }
	add_place(lines, place, text and text:find "\n" ~= nil)
	local facts = report.facts(e)
	if facts then lines[#lines + 1] = "  " .. clean(facts) end
	for _, more in ipairs(report.details(e)) do
		lines[#lines + 1] = "  " .. escaped(more)
	end
	if e.where and not number then
		lines[#lines + 1] = "  at " .. clean(e.where)
	end
	local tries, no_hint = advice.of(e, ctx, place, text)
	if e.hint and not no_hint then
		lines[#lines + 1] = "  hint: " .. clean(e.hint)
	end
	for _, try in ipairs(tries) do
		lines[#lines + 1] = "  " .. term.style("bold", "try:", 2) .. " " .. clean(try)
	end
	if (whole or wants_trace(ctx)) and type(e.traceback) == "string" then
		lines[#lines + 1] = "  " .. clean(report.frames("", e.traceback)
			or e.traceback)
	end
	return table.concat(lines, "\n") .. "\n"
end

---Tells an error and keeps it.
---@param ctx table errors: the last ones, newest first; write_error stands in for
---the terminal in specs
---@param e any
---@param text? string of the entry
function errors.show(ctx, e, text)
	ctx.errors = ctx.errors or {}
	table.insert(ctx.errors, 1, { error = e, text = text })
	ctx.errors[KEPT + 1] = nil
	local write = ctx.write_error or function(out) term.ours(2, out) end
	write(errors.text(ctx, e, text))
end

---Calls over the errors that are kept: number, kind, message.
---@param ctx table
---@return fun(): integer?, string?, string?
function errors.each(ctx)
	local n = 0
	return function()
		n = n + 1
		local kept = ctx.errors and ctx.errors[n]
		if not kept then return nil end
		local e = fields_of(kept.error)
		return n, tostring(e.kind), (split(e))
	end
end

return errors
