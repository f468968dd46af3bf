-- reader: from keys to a whole entry: continuation lines, TAB, Ctrl-C and Ctrl-D.
-- Owns what was typed of an entry so far; must not run any of it: completion
-- evaluates nothing, and an entry is compiled only to see whether it is whole.
local chunk = require "repl.chunk"
local prompt = require "repl.prompt"

local reader = {}

-- The part that all candidates begin with.
local function common(candidates)
	local first = candidates[1].text
	for n = 2, #candidates do
		local other, k = candidates[n].text, 0
		while k < #first and first:byte(k + 1) == other:byte(k + 1) do
			k = k + 1
		end
		first = first:sub(1, k)
	end
	while not utf8.len(first) and #first > 0 do first = first:sub(1, -2) end
	return first
end

-- The candidates in columns, as many as fit.
local function list(candidates)
	local term = require "opsh.c.term"
	local width, cells = 0, {}
	for n, c in ipairs(candidates) do
		local cell, w = term.cell(c.label or c.text, 60)
		cells[n] = { cell, w }
		width = math.max(width, w)
	end
	local per = math.max(1, (term.columns() + 1) // (width + 2))
	local rows = math.ceil(#cells / per)
	local out = {}
	for row = 1, math.min(rows, 40) do
		local parts = {}
		for column = 0, per - 1 do
			local cell = cells[row + column * rows]
			if cell then
				parts[#parts + 1] = cell[1] .. (" "):rep(width + 2 - cell[2])
			end
		end
		out[#out + 1] = (table.concat(parts):gsub("%s+$", ""))
	end
	if rows > 40 then
		out[#out + 1] = ("... %d more"):format(#cells - 40 * per)
	end
	term.write(2, table.concat(out, "\n") .. "\n")
end

-- TAB. What was typed of the entry before is part of what is completed; places
-- in it are bytes from 1, `to` included, so that to = from - 1 inserts.
local function complete(ctx, before, text, cursor, again)
	local all = before .. text
	local ok, found = pcall(ctx.complete, all, #before + cursor, ctx)
	if not ok or type(found) ~= "table" then return end
	local term = require "opsh.c.term"
	local candidates = found.candidates or {}
	if #candidates == 0 then
		if found.hint then term.write(2, found.hint .. "\n") end
		return
	end
	local from, to = found.from - #before, found.to - #before
	local word = common(candidates)
	if from >= 1 and word ~= text:sub(from, to)
		and (#candidates == 1 or #word >= to - from + 1) then
		if #candidates == 1 then word = word .. (candidates[1].after or "") end
		require("opsh.c.line").replace(from, to, word)
	elseif #candidates > 1 and again then
		list(candidates)
	end
	if found.hint and again then term.write(2, found.hint .. "\n") end
end

-- One line: its text, or nil and why there is none.
local function read_line(ctx, shown, before, text)
	local line = require "opsh.c.line"
	while true do
		local event, typed, cursor, again = line.read(shown, text or "")
		if event ~= "complete" then
			return event == "line" and typed or nil, event
		end
		complete(ctx, before, typed, cursor, again)
		text = nil
	end
end

-- Is it whole: a command, nothing to run, Lua that can be compiled, an error?
local function is_whole(ctx, text)
	if text:find "^%s*:%a" or text:find "^%s*$" then return true end
	local _, why = chunk.compile(text, "=entry", ctx.env)
	return why ~= "more"
end

---Reads an entry.
---@param ctx table
---@param text? string what the line begins as
---@return string? entry
---@return "int"|"eof"|"gone"|nil why there is none
function reader.read(ctx, text)
	local first = prompt.first(ctx)
	local shown, before = first, ""
	while true do
		local typed, why = read_line(ctx, shown, before, text)
		if not typed then
			-- in a block Ctrl-D drops the block, as Ctrl-C does
			if why == "eof" and before ~= "" then why = "int" end
			return nil, why
		end
		local all = before .. typed
		if is_whole(ctx, all) then return all end
		before, shown, text = all .. "\n", prompt.more(first), nil
	end
end

return reader
