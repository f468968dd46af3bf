-- tab: what the TAB key does to the line: the common part of the candidates is
-- inserted, or they are shown above the line with the signature of the call that
-- is typed. Owns the form of both; what there is to insert says repl.complete.
local complete = require "repl.complete"
local term = require "opsh.c.term"

local M = {}

-- So many are shown one a line, with what each is; more in columns.
local DETAILED <const> = 16
local MAX_ROWS <const> = 30

-- --- text -----------------------------------------------------------------------

-- Text of ours: a name as it is typed, what it is behind it.
local function detailed(list)
	local width, out = 0, {}
	for _, one in ipairs(list) do
		width = math.max(width, term.width(one.text))
	end
	width = math.min(width, 40)
	local room = term.columns() - width - 5
	for n, one in ipairs(list) do
		local cell, w = term.cell(one.text, term.columns() - 3)
		local detail = one.detail or one.kind
		out[n] = "  " .. cell .. (room > 10 and (" "):rep(width - w + 2)
			.. term.style("muted", (term.cell(detail:gsub("\n%s*", " "), room)), 2)
			or "")
	end
	return out
end

local function in_columns(list)
	local width, cells = 0, {}
	for n, one in ipairs(list) do
		local cell, w = term.cell(one.text, 60)
		cells[n] = { cell, w }
		width = math.max(width, w)
	end
	local per = math.max(1, term.columns() // (width + 2))
	local rows = math.ceil(#cells / per)
	local out = {}
	for row = 1, math.min(rows, MAX_ROWS) do
		local parts = {}
		for column = 0, per - 1 do
			local cell = cells[row + column * rows]
			if cell then
				parts[#parts + 1] = cell[1] .. (" "):rep(width + 2 - cell[2])
			end
		end
		out[row] = (table.concat(parts):gsub("%s+$", ""))
	end
	local left = 0
	for n = 1, #cells do
		if (n - 1) % rows >= MAX_ROWS then left = left + 1 end
	end
	return out, left
end

---The candidates as lines.
---@param found table of complete.complete
---@return string[]
function M.list(found)
	local list, left = found.candidates, 0
	local out
	if #list <= DETAILED then
		out = detailed(list)
	else
		out, left = in_columns(list)
	end
	left = left + (found.more or 0)
	if left > 0 then
		out[#out + 1] = term.style("muted", ("  ... %d more"):format(left), 2)
	end
	if found.note then
		out[#out + 1] = term.style("muted", "  " .. found.note, 2)
	end
	return out
end

---The hint as lines: the signature with the argument that is typed, then what is
---said of that argument, or of the call.
---@param hint table
---@return string[]
function M.hint(hint)
	local text = hint.text
	local shown
	if hint.from then
		local current = text:sub(hint.from, hint.to)
		current = term.colour(2) and term.style("underline", current, 2)
			or ">" .. current .. "<"
		shown = term.escape(text:sub(1, hint.from - 1)) .. current
			.. term.escape(text:sub(hint.to + 1))
	else
		shown = term.cell(text, term.columns() - 1)
	end
	local out = { shown }
	local more = hint.argument or hint.summary
	if more then
		out[2] = term.style("muted", "  " .. (term.cell(more:gsub("\n%s*", " "),
			term.columns() - 3)), 2)
	end
	return out
end

local function say(lines)
	if #lines > 0 then term.ours(2, table.concat(lines, "\n") .. "\n") end
end

-- --- the key ----------------------------------------------------------------------

-- What takes the place of text[from..to], nil when nothing is gained by it.
local function insertion(found, typed)
	local list = found.candidates
	if #list == 1 then
		local whole = list[1].text .. (list[1].append or "")
		return whole ~= typed and whole or nil
	end
	local common = found.common
	if #list > 1 and common ~= typed and #common >= #typed then return common end
end

---TAB was pressed.
---@param ctx table
---@param before string the lines of the entry above this one
---@param text string the line
---@param cursor integer bytes before the cursor
function M.press(ctx, before, text, cursor)
	local line = require "opsh.c.line"
	local found = complete.complete(before .. text, #before + cursor, ctx)
	if found.indent then
		line.replace(cursor + 1, cursor, "\t")
		return
	end
	local from, to = found.from - #before, found.to - #before
	local new = from >= 1 and insertion(found, text:sub(from, to))
	if new then
		line.replace(from, to, new)
		return
	end
	local lines = #found.candidates > 1 and M.list(found) or {}
	if found.hint then
		table.move(M.hint(found.hint), 1, 2, #lines + 1, lines)
	end
	say(lines)
end

return M
