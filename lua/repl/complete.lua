-- complete: what can come where the cursor stands, and the signature of the call
-- it stands in. Pure: text, cursor and context in, candidates out. Nothing that was
-- typed is run, no metamethod, nothing connects. What there is to complete are
-- files in repl/complete: each returns {order, complete(c), hint(c)}.
local Cursor = require "repl.cursor"
local docs = require "run.docs"
local sys = require "opsh.c.sys"

local M = {}

-- Candidates that are handed back; of more is said how many there are. From KEPT on
-- they are counted, not kept: nobody reads them, and TAB must not take its time.
local MAX <const>, KEPT <const> = 1000, 2000

local completers

local function load_completers()
	if completers then return completers end
	completers = {}
	for _, path in ipairs(sys.files "lua/repl/complete/") do
		local name = path:match "^lua/(repl/complete/[%w_]+)%.lua$"
		if name then
			completers[#completers + 1] = require(name:gsub("/", "."))
		end
	end
	table.sort(completers, function(a, b) return a.order < b.order end)
	return completers
end

-- --- candidates ---------------------------------------------------------------------

-- What two texts begin with; fold: capitals don't matter.
local function common_of(one, other, fold)
	local a, b = fold and one:lower() or one, fold and other:lower() or other
	local same = 0
	while same < #a and a:byte(same + 1) == b:byte(same + 1) do
		same = same + 1
	end
	return one:sub(1, same)
end

-- What a completer works on: the cursor, and where candidates go.
local List = {}

---The candidates that follow replace the text from here to the cursor.
---@param from integer byte
---@param fold? boolean capitals don't matter
function List:start(from, fold)
	self.begin, self.fold = from, fold
	self.prefix = self.cursor.text:sub(from, self.cursor.at)
	self.folded = fold and self.prefix:lower()
end

---@param text string
---@param kind string "function", "option", ...
---@param detail? string
---@param opts? {append?: string, rank?: integer, match?: string}
function List:add(text, kind, detail, opts)
	local match = opts and opts.match or text
	if self.fold then
		if match:sub(1, #self.prefix):lower() ~= self.folded then return end
	elseif match:sub(1, #self.prefix) ~= self.prefix then
		return
	end
	if self.seen[text] then return end
	self.seen[text] = true
	if #self.list >= KEPT then
		self.left = self.left + 1
		self.among = self.among and common_of(self.among, text, self.fold)
			or text
		return
	end
	self.list[#self.list + 1] = { text = text, kind = kind, detail = detail,
		append = opts and opts.append, rank = opts and opts.rank or 5 }
end

---Something to say with the candidates.
---@param text string
function List:note(text) self.said = text end

List.__index = List

local function by_rank(a, b)
	if a.rank ~= b.rank then return a.rank < b.rank end
	return a.text < b.text
end

local function collect(cursor)
	local list = setmetatable({ cursor = cursor, list = {}, seen = {},
		left = 0 }, List)
	list:start(cursor.from)
	for _, completer in ipairs(load_completers()) do
		if completer.complete and completer.complete(cursor, list) then break end
	end
	return list
end

-- --- hints ----------------------------------------------------------------------------

local function name_of(chain)
	local out = ""
	for _, link in ipairs(chain) do
		if link.name then
			out = out .. link.name
		elseif link.field then
			out = out .. link.sep .. link.field
		elseif link.call then
			out = out .. "()"
		elseif link.index ~= nil then
			out = out .. ("[%s]"):format(link.index)
		end
	end
	return out
end

local function of_call(call)
	local member = call and call.member
	if not member or not member.params then return nil end
	local text, places = docs.signature(member, name_of(call.chain))
	local hint = { text = text, summary = member.summary }
	local place = call.nth and places[call.nth]
	if place then hint.from, hint.to = place.from, place.to end
	local param = call.param
	if param then
		hint.argument = param.name .. (param.optional and "?" or "")
			.. (param.type and ": " .. param.type or "")
			.. (param.text and param.text ~= "" and "  " .. param.text or "")
	end
	return hint
end

-- The innermost call that is open, and where an option's value stands, that option.
local function hint_of(cursor)
	for _, completer in ipairs(load_completers()) do
		local hint = completer.hint and completer.hint(cursor)
		if hint then return hint end
	end
	local call = cursor.str and cursor.str.call or #cursor.stack > 0
		and not cursor.stack[#cursor.stack].block
		and cursor:call(#cursor.stack)
	local hint = of_call(call or nil)
	local key = cursor.open and cursor.open.key
	for _, field in ipairs(hint and key and cursor.fields or {}) do
		if field.name == key then
			hint.argument = ("%s%s: %s%s"):format(key, field.optional and "?" or "",
				field.type or "any", field.text and field.text ~= "" and "  "
				.. field.text or "")
		end
	end
	return hint
end

-- The cursor; in a command that takes Lua text, in that text.
local function place(text, at, ctx)
	local cursor = Cursor.new(text, at, ctx)
	local from = cursor.command
		and require("repl.complete.commands").code_from(cursor.command)
	if not from then return cursor end
	from = at - #cursor.command + from
	return Cursor.new((" "):rep(from - 1) .. text:sub(from), at, ctx)
end

-- --- the whole ------------------------------------------------------------------------

-- An empty line of an entry that goes on: TAB indents.
local function indents(text, at)
	local before = text:sub(1, at)
	return before:find "\n[ \t]*$" ~= nil
end

---What can replace text[from..to]. `hint` is {text, from, to (the bytes of the
---argument that is typed now), argument, summary}; `indent`: TAB is a tab here;
---`more`: so many candidates were left out; `note`: what else to say.
---@param text string the entry as far as it is typed, all lines of it
---@param at integer bytes before the cursor
---@param ctx table env, config, last, ...
---@return {from: integer, to: integer, candidates: table[], hint?: table, indent?: boolean, more?: integer, note?: string, common?: string}
function M.complete(text, at, ctx)
	if indents(text, at) then
		return { from = at + 1, to = at, candidates = {}, indent = true }
	end
	local cursor = place(text, at, M.context(ctx))
	local found = collect(cursor)
	local list, more = found.list, nil
	table.sort(list, by_rank)
	local common = M.common(list, found.prefix, found.fold, found.among)
	if #list > MAX then
		more = #list - MAX + found.left
		list = table.move(list, 1, MAX, 1, {})
	end
	return { from = found.begin, to = at, candidates = list, more = more,
		note = found.said, common = common, hint = hint_of(cursor) }
end

---The hint alone.
---@param text string
---@param at integer
---@param ctx table
---@return table? hint
function M.hint(text, at, ctx)
	return hint_of(place(text, at, M.context(ctx)))
end

---What all candidates begin with; the prefix itself where that is no longer.
---@param list table[]
---@param prefix string
---@param fold? boolean
---@param among? string what those that were not kept begin with
---@return string
function M.common(list, prefix, fold, among)
	if #list == 0 then return prefix end
	local common = list[1].text
	for n = 2, #list do common = common_of(common, list[n].text, fold) end
	if among then common = common_of(common, among, fold) end
	-- not between the bytes of a character
	while #common > 0 and #list > 1 and not utf8.len(common) do
		common = common:sub(1, -2)
	end
	return #common >= #prefix and common or prefix
end

-- Who knows the targets when the caller does not say: the session.
local function session_context(own)
	local session = require "run.session"
	function own.target_of(value)
		for name, client in next, session.clients do
			if rawequal(client, value) then
				return own.config().targets[name]
			end
		end
	end
	function own.connected(name)
		local client = session.clients[name]
		local object = client and session.objects[client]
		return object and object:identity() and client or nil
	end
end

local prepared = setmetatable({}, { __mode = "k" })

---The context with what is not given filled in.
---@param ctx table
---@return table
function M.context(ctx)
	local own = prepared[ctx]
	if own then return own end
	own = setmetatable({}, { __index = ctx })
	if not ctx.config then
		own.config = function() return require("run.session").config() end
	elseif type(ctx.config) == "table" then
		own.config = function() return ctx.config end
	end
	own.config = own.config or ctx.config
	if not ctx.target_of then session_context(own) end
	ctx.catalog = ctx.catalog or {}
	prepared[ctx] = own
	return own
end

return M
