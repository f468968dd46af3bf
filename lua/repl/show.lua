-- show: what an entry gave, as its author wants to see it: rows as a table, values
-- within values as JSON or Lua, an HTTP answer with its body, a write with what it
-- did; and the names `_`, `_1` to `_9` for the results so far. Owns the choice of
-- form and its limits; the layout is opsh.table and repl.pretty.
local err = require "opsh.c.err"
local pager = require "repl.pager"
local pretty = require "repl.pretty"
local report = require "run.report"
local run_show = require "run.show"
local term = require "opsh.c.term"
local value = require "opsh.table.value"

local show = {}

local ROWS <const> = 100
local TEXT_BYTES <const> = 64 * 1024	-- of a string alone
local DUMP_BYTES <const> = 256
local KEPT <const> = 9			-- results before the last one
local LOOKED_AT <const> = 20		-- rows, for values within values

-- --- the results so far ----------------------------------------------------------

---A result becomes `_`; those before it move on. nil and false's like: only nil is
---no result.
---@param ctx table env, last (newest first)
---@param v any
function show.remember(ctx, v)
	if v == nil then return end
	ctx.last = ctx.last or {}
	table.insert(ctx.last, 1, v)
	ctx.last[KEPT + 2] = nil
	rawset(ctx.env, "_", v)
	for n = 1, KEPT do rawset(ctx.env, "_" .. n, ctx.last[n + 1]) end
end

-- --- texts -----------------------------------------------------------------------

local grouped = value.grouped

local function muted(text) return term.style("muted", text) end

local duration = report.duration

-- Sixteen bytes a line, with the letters among them.
local function dump(s, emit)
	emit(muted(("%s bytes"):format(grouped(#s))) .. "\n")
	local shown = math.min(#s, DUMP_BYTES)
	for from = 1, shown, 16 do
		local part = s:sub(from, math.min(shown, from + 15))
		local hex = part:gsub(".", function(c) return ("%02x "):format(c:byte()) end)
		emit(("%08x  %-48s |%s|\n"):format(from - 1, hex,
			(part:gsub("[^\32-\126]", "."))))
	end
	if shown < #s then
		emit(muted(("… %s bytes more"):format(grouped(#s - shown))) .. "\n")
	end
end

-- Cut between characters, when it is long.
local function beginning(s)
	if #s <= TEXT_BYTES then return s, 0 end
	local to = TEXT_BYTES
	while to > TEXT_BYTES - 4 and (s:byte(to + 1) or 0) & 0xc0 == 0x80 do
		to = to - 1
	end
	return s:sub(1, to), #s - to
end

-- A text as it is, its lines kept; what a terminal would obey is escaped. `keep`:
-- how the rest is had.
local function text(s, emit, keep)
	s = term.mask(s)
	if value.is_binary(s) then return dump(s, emit) end
	local part, rest = beginning(s)
	emit(term.escape(part:gsub("\r\n", "\n"), true)
		.. (part:sub(-1) == "\n" and "" or "\n"))
	if rest > 0 then
		emit(muted(("… %s more bytes (%s in all)%s"):format(grouped(rest),
			grouped(#s), keep and "; " .. keep or "")) .. "\n")
	end
end

local function scalar_string(s, emit)
	if value.ambiguous(s) and not s:find "[^%s]" or s == "nil" or s == "NULL"
		or s == "true" or s == "false" then
		return emit('"' .. term.escape(term.mask(s)) .. '"\n')
	end
	text(s, emit, 'fs.write("FILE", _) keeps it whole')
end

-- --- results of calls --------------------------------------------------------------

local function result_meta(v)
	local meta = type(v) == "table" and debug.getmetatable(v)
	return type(meta) == "table" and rawget(meta, "__name") == "opsh.result" and meta
end

-- What a write has to say of itself in a few words.
local function deed(r)
	local parts = {}
	local command, count = rawget(r, "command"), rawget(r, "count")
	if type(command) == "string" then parts[1] = (command:gsub("%s+%d[%d%s]*$", "")) end
	for _, name in ipairs { "done", "failed", "unknown" } do
		local n = rawget(r, name)
		if math.type(n) == "integer" and (n > 0 or name == "done") then
			parts[#parts + 1] = name == "done" and grouped(n)
				or ("%s %s"):format(grouped(n), name)
		end
	end
	if parts[1] and rawget(r, "done") then return table.concat(parts, ", ") end
	local plain = rawget(r, "value")
	local path, bytes = rawget(r, "path"), rawget(r, "bytes")
	if type(path) == "string" then
		parts[#parts + 1] = term.cell(path, 60)
		if bytes and bytes > 0 then
			parts[#parts + 1] = ("%s byte%s"):format(grouped(bytes),
				bytes == 1 and "" or "s")
		elseif count and count > 0 then
			parts[#parts + 1] = grouped(count)
		end
	elseif math.type(count) == "integer" then
		parts[#parts + 1] = command and ("%s row%s"):format(grouped(count),
			count == 1 and "" or "s") or grouped(count)
	elseif plain ~= nil and type(plain) ~= "table" and type(plain) ~= "userdata" then
		parts[#parts + 1] = term.cell(tostring(plain), 60)
	end
	return table.concat(parts, ", ")
end

local one

-- A program's output is what was asked for; all else is one line.
local function written(ctx, r, emit)
	if rawget(r, "stdout") ~= nil then
		if rawget(r, "stdout") ~= "" then
			text(rawget(r, "stdout"), emit, "_.stdout has it whole")
		end
		local talk = rawget(r, "stderr")
		if type(talk) == "string" and talk ~= "" then
			text(talk, emit, "_.stderr has it whole")
		end
		local status = rawget(r, "signal") or rawget(r, "status")
		return emit(muted(("(exit %s, in %s)"):format(tostring(status),
			duration(rawget(r, "seconds") or 0))) .. "\n")
	end
	local inner = rawget(r, "rows")
	if inner == nil and type(rawget(r, "value")) == "table" then
		inner = rawget(r, "value")
	end
	if inner ~= nil then one(ctx, inner, emit) end
	local what = deed(r)
	emit(("%s%s%s\n"):format(term.style(rawget(r, "ok") == false and "error"
		or "ok", rawget(r, "ok") == false and "not done" or "done"),
		what ~= "" and " " .. what or "",
		ctx.took and muted((", in %s"):format(duration(ctx.took))) or ""))
end

local function response(ctx, r, emit)
	local screen = pager.screen(ctx)
	local body = rawget(r, "body")
	local parts = { term.style(r.status >= 400 and "error" or "ok",
		tostring(r.status)) }
	local kind = r.headers["content-type"]
	if kind then parts[#parts + 1] = (term.cell(kind, 40)) end
	if type(body) == "string" then
		parts[#parts + 1] = ("%s byte%s"):format(grouped(#body),
			#body == 1 and "" or "s")
	elseif rawget(r, "file") then
		parts[#parts + 1] = "in " .. term.cell(r.file, 60)
	end
	local timing = r.timing
	if timing then
		parts[#parts + 1] = muted(("%s (first byte after %s)"):format(
			duration(timing.total or 0), duration(timing.first_byte or 0)))
	end
	emit(table.concat(parts, " · ") .. "\n")
	if type(body) ~= "string" or body == "" then return end
	local lines = #body <= 1024 * 1024 and pretty.json(body, screen.width)
	if lines then return emit(table.concat(lines, "\n") .. "\n") end
	text(body, emit, "_.body has it whole")
end

-- --- tables ------------------------------------------------------------------------

-- Rows that hold values within values tell more as a tree than as a table.
local function is_deep(list)
	for n = 1, math.min(#list, LOOKED_AT) do
		local row = list[n]
		if type(row) ~= "table" then return false end
		for _, v in pairs(row) do
			if pretty.is_nested(v) then return true end
		end
	end
	return false
end

local function tree(v, emit, width)
	local lines = pretty.lines(v, width)
	for from = 1, #lines, 200 do
		if emit(table.concat(lines, "\n", from, math.min(#lines, from + 199))
			.. "\n") == false then
			return
		end
	end
end

local function rows_cap(ctx)
	local rows = ctx.settings and ctx.settings.rows
	if rows == 0 then return math.maxinteger end	-- all
	return math.type(rows) == "integer" and rows or ROWS
end

local function tabular(ctx, v, emit)
	local set = ctx.settings or {}
	local screen = pager.screen(ctx)
	local meta = debug.getmetatable(v)
	if type(v) == "table" and set.expanded ~= "on"
		and not (type(meta) == "table" and rawget(meta, "__rows")) then
		if next(v) == nil and #v == 0 then return emit "{}\n" end
		local list = value.is_list(v)
		if list and is_deep(v) or not list and pretty.is_nested(v) then
			return tree(v, emit, screen.width)
		end
	end
	require("opsh.table").each(v, { cap = rows_cap(ctx), width = screen.width,
		style = true, expanded = set.expanded or "auto",
		more = ":set rows N shows more" }, emit)
end

-- --- any value -----------------------------------------------------------------------

local function is_word(v)
	return err.is(v) or value.has_tostring(v) and not value.has_meta(v, "__pairs")
		or not value.is_map(v)
end

function one(ctx, v, emit)
	local kind = type(v)
	if kind == "string" then return scalar_string(v, emit) end
	if v == nil or v == term.null then return emit(muted(pretty.word(v)) .. "\n") end
	local meta = result_meta(v)
	if meta and rawget(meta, "__show") then return response(ctx, v, emit) end
	if meta then return written(ctx, v, emit) end
	meta = (kind == "table" or kind == "userdata") and debug.getmetatable(v)
	if type(meta) == "table" and rawget(meta, "__show") then
		return text(run_show.text(v), emit)
	end
	if is_word(v) then return text(pretty.word(v), emit) end
	tabular(ctx, v, emit)
end

-- A value's metamethods are foreign code: what they raise is told in its place.
local function guarded(ctx, v, emit)
	local ok, e = pcall(one, ctx, v, emit)
	if ok then return end
	local why = err.is(e) and e.message or type(e) == "string" and e or type(e)
	emit(muted(("<%s that can't be shown: %s>"):format(type(v),
		(term.cell(why, 200)))) .. "\n")
end

---Shows a value as a whole in the pager, however long it is.
---@param ctx table
---@param v any
function show.page(ctx, v)
	local whole = {}
	for name, set in pairs(ctx.settings or {}) do whole[name] = set end
	whole.rows = 0
	local inner = setmetatable({ settings = whole }, { __index = ctx })
	local out <close> = pager.open(inner, true)
	guarded(inner, v, function(part) return out:write(part) end)
	out:close()
end

-- After a pager that was left at its first page: how many there are.
local function note_of(v)
	if value.has_meta(v, "__len") or type(v) == "table" and #v > 0
		and value.is_list(v) then
		return ("(%s in all)"):format(grouped(#v))
	end
end

-- What a generic for takes: a function, and what is to be closed with the loop.
local function is_iterator(f, state, control, closing, ...)
	local meta = debug.getmetatable(closing)
	return type(f) == "function" and state == nil and control == nil
		and type(meta) == "table" and meta.__close ~= nil and select("#", ...) == 0
end

---Prints the results of an entry, each; the first becomes `_`. An entry that gives
---nothing prints nothing.
---@param ctx table env, last, settings (rows, expanded, pager), took: seconds of the
---entry; screen and write stand in for the terminal in specs
function show.values(ctx, ...)
	local n = select("#", ...)
	if n == 0 then return end
	show.remember(ctx, (...))
	if n == 1 and run_show.is_stream((...)) then return end
	local out <close> = pager.open(ctx)
	local function emit(part) return out:write(part) end
	if is_iterator(...) then
		return emit(muted "an iterator: for value in EXPRESSION do print(value) end"
			.. "\n")
	end
	if n == 1 then
		local counted, note = pcall(note_of, (...))
		out.note = counted and note or nil
	end
	for i = 1, n do
		if not out.open then break end
		guarded(ctx, (select(i, ...)), emit)
	end
	out:close()
end

return show
