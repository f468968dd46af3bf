-- cursor: where the cursor stands in what is typed: in which word, string, call
-- and table, and what those belong to. Pure: text and documentation in, a table
-- out; what is typed is never run. Completers and hints are made of it.
local docs = require "run.docs"
local lex = require "repl.lex"
local scope = require "repl.scope"

local Cursor = {}
Cursor.__index = Cursor

-- --- tokens -----------------------------------------------------------------------

local ESCAPES = { n = "\n", t = "\t", r = "\r" }

-- Constants get their value, as far as an index or a name in require is one.
local function add_value(token)
	if token.kind == "number" then
		token.value = tonumber(token.text)
	elseif token.kind == "string" and token.text:find "^%[" then
		token.value = token.text:match "^%[(=*)%[" and token.text:gsub(
			"^%[=*%[", ""):gsub("%]=*%]$", "")
	elseif token.kind == "string" then
		token.value = token.text:sub(2, -2):gsub("\\(.)", function(c)
			return ESCAPES[c] or c
		end)
	end
end

-- What is before the cursor, and what it ends in: code, a comment, a string whose
-- contents begin at `from`.
local function scan(text)
	local all, tokens = lex.tokens(text, true), {}
	local last = all[#all]
	local open = last and last.to == #text and last
	for _, token in ipairs(all) do
		if token.kind ~= "comment" then
			add_value(token)
			tokens[#tokens + 1] = token
		end
	end
	if open and open.kind == "comment" then
		return tokens, { kind = "comment" }
	elseif open and open.kind == "string" and not open.whole then
		tokens[#tokens] = nil
		local mark = open.text:match "^%[=*%[" or open.text:sub(1, 1)
		return tokens, { kind = "string", quote = mark:sub(1, 1),
			from = open.from + #mark }
	end
	return tokens, { kind = "code" }
end

-- --- brackets and blocks ----------------------------------------------------------

local CLOSES = { [")"] = "(", ["]"] = "[", ["}"] = "{" }
local OPENS = { ["("] = true, ["["] = true, ["{"] = true }
local BLOCKS = { ["function"] = true, ["do"] = true, ["if"] = true,
	["repeat"] = true }

local function pop(stack, what)
	for n = #stack, 1, -1 do
		if what(stack[n]) then
			for i = #stack, n + 1, -1 do stack[i] = nil end
			return table.remove(stack)
		end
	end
end

local function is_block(open) return open.block end

-- A token within the innermost bracket.
local function inside(top, tokens, n)
	local token = tokens[n]
	if token.text == "," or token.text == ";" then
		top.commas, top.key = top.commas + 1, nil
	elseif token.text == "=" and top.text == "{" and tokens[n - 1].kind == "name"
		and (n - 2 == top.token or tokens[n - 2].text == ","
		or tokens[n - 2].text == ";") then
		top.key = tokens[n - 1].text
		top.keys[top.key] = true
	end
end

-- What is open at the end, outermost first; and of each closing bracket the token
-- that opens it.
local function brackets(tokens)
	local stack, match = {}, {}
	for n, token in ipairs(tokens) do
		local text = token.kind ~= "string" and token.text
		if OPENS[text] then
			stack[#stack + 1] = { text = text, token = n, commas = 0, keys = {} }
		elseif CLOSES[text] then
			local open = pop(stack, function(o) return o.text == CLOSES[text] end)
			match[n] = open and open.token
		elseif token.kind == "keyword" and BLOCKS[text] then
			stack[#stack + 1] = { block = true, token = n }
		elseif text == "end" or text == "until" then
			pop(stack, is_block)
		elseif text and stack[#stack] and not stack[#stack].block then
			inside(stack[#stack], tokens, n)
		end
	end
	return stack, match
end

-- --- chains -----------------------------------------------------------------------

local function ends_primary(token)
	return token and (token.kind == "name" or token.kind == "string"
		or token.text == ")" or token.text == "]" or token.text == "}")
end

-- A call that ends at token n: where what is called ends, and its one constant
-- argument.
local function call_before(self, n)
	local tokens, from = self.tokens, n
	local arg = tokens[n]
	if tokens[n].kind ~= "string" then
		from = self.match[n]
		arg = from == n - 2 and tokens[n - 1]
	end
	return from and from - 1, { call = true, arg = arg and arg.value }
end

-- The chain of an expression whose last token is n; nil for any other form.
local function chain_to(self, n)
	local tokens, out = self.tokens, {}
	while ends_primary(tokens[n]) do
		local token, before = tokens[n], tokens[n - 1]
		if token.kind == "name" then
			local sep = before and (before.text == "." or before.text == ":")
				and before.text
			table.insert(out, 1, sep and { field = token.text, sep = sep }
				or { name = token.text })
			if not sep then return out end
			n = n - 2
		elseif token.text == "]" then
			local from = self.match[n]
			if from ~= n - 2 or tokens[n - 1].value == nil then return nil end
			table.insert(out, 1, { index = tokens[n - 1].value })
			n = from - 1
		else
			local past, link = call_before(self, n)
			if not past or not ends_primary(tokens[past]) then
				if token.kind ~= "string" and not (past == n - 3
					and tokens[n - 1].kind == "string") then
					return nil
				end
				table.insert(out, 1, { string = true })
				return out
			end
			table.insert(out, 1, link)
			n = past
		end
	end
end

-- local NAME = EXPRESSION, before the cursor.
local function find_locals(self)
	local out, tokens = {}, self.tokens
	for n, token in ipairs(tokens) do
		local name = tokens[n + 1]
		if token.text == "local" and token.kind == "keyword" and name
			and name.kind == "name" then
			local eq = n + 2
			if tokens[eq] and tokens[eq].text == "<" then eq = eq + 3 end
			if tokens[eq] and tokens[eq].text == "=" then
				local last = eq + 1
				while tokens[last + 1] and (tokens[last + 1].text == "."
					or tokens[last + 1].text == ":" or tokens[last + 1].kind
					== "string" or tokens[last].text == "."
					or tokens[last].text == ":" or tokens[last + 1].text == "("
					or tokens[last].text == "(" or tokens[last + 1].text == ")")
				do
					last = last + 1
				end
				out[name.text] = chain_to(self, last)
			end
			self.names[name.text] = true
		end
	end
	return out
end

-- function(tx) as an argument: the documentation says of what class `tx` is.
local function add_arguments(self, open)
	local tokens, n = self.tokens, open.token + 1
	if not tokens[n] or tokens[n].text ~= "(" then n = n + 1 end
	local call = self:call(#self.stack, open)
	local types = {}
	local inner = call and call.param and (call.param.type or ""):match
		"fun(%b())"
	for kind in (inner or ""):gmatch "[%w_]+:%s*([%w_.]+)" do
		types[#types + 1] = kind
	end
	local nth = 0
	while tokens[n + 1] and tokens[n].text ~= ")" do
		n = n + 1
		if tokens[n].kind == "name" then
			nth = nth + 1
			local class = types[nth] and docs.class_of(types[nth])
			self.names[tokens[n].text] = true
			self.locals[tokens[n].text] = class and { class = class } or nil
		end
	end
end

-- --- calls ------------------------------------------------------------------------

-- The parameter that an argument is for; the last takes what `...` takes.
local function parameter(member, n, chain)
	local params = member and member.params
	if not params then return nil end
	local last = chain[#chain]
	if member.sep == ":" and last.sep == "." then
		n = n - 1
	elseif member.sep == "." and last.sep == ":" then
		n = n + 1
	end
	if params[n] then return params[n], n end
	local final = params[#params]
	if final and final.name == "..." then return final, #params end
end

-- What the chain calls: thing, and the member that documents it.
local function callee(self, chain)
	local thing = chain and scope.resolve(chain, self.ctx, self.locals)
	return { chain = chain, thing = thing, member = thing and thing.member }
end

---The call that bracket `at` of the stack belongs to; `open`: a block in it.
---@param at integer
---@return table? call chain, thing, member, arg, param
function Cursor:call(at)
	for n = at, 1, -1 do
		local open = self.stack[n]
		local before = self.tokens[open.token - 1]
		local named = self.tokens[open.token - 2]
		if open.text == "(" and ends_primary(before) and not (named
			and named.text == "function") then
			local call = callee(self, chain_to(self, open.token - 1) or {})
			call.arg, call.open = open.commas + 1, open
			call.param, call.nth = parameter(call.member, call.arg, call.chain)
			return call
		elseif open.text == "{" and ends_primary(before) then
			local call = callee(self, chain_to(self, open.token - 1) or {})
			call.arg, call.open = 1, open
			call.param, call.nth = parameter(call.member, 1, call.chain)
			return call
		elseif open.block and n ~= at then
			return nil
		end
	end
end

-- The type of a parameter; what `...` ends in says its text.
local function type_of(param)
	if not param then return nil end
	if param.name == "..." then
		return (param.text or ""):match "opsh%.[%w_.]*[%w_]"
	end
	return param.type
end

---The documented type of the table that bracket `at` of the stack opens.
---@param at integer
---@return string?
function Cursor:type_of_table(at)
	local open, parent = self.stack[at], self.stack[at - 1]
	local before = self.tokens[open.token - 1]
	if not before then return nil end
	if ends_primary(before) then
		local call = self:call(at)
		return call and type_of(call.param)
	elseif not parent then
		return nil
	elseif parent.text == "(" then
		local call = self:call(at - 1)
		return call and call.open == parent and type_of(call.param)
	elseif parent.text == "{" then
		local kind = self:type_of_table(at - 1)
		if before.text == "=" then
			for _, field in ipairs(docs.fields(kind) or {}) do
				if field.name == parent.key then return field.type end
			end
		else
			return kind and kind:match "^(.*)%[%]$"
		end
	end
end

-- The string that the cursor is in: what is called with it, or the option it is of.
local function open_string(self, state)
	local n = #self.tokens
	local token = self.tokens[n]
	local str = { from = state.from, quote = state.quote,
		text = self.text:sub(state.from, self.at) }
	if ends_primary(token) and token.kind ~= "keyword" then
		str.call = callee(self, chain_to(self, n) or {})
		str.call.arg, str.first = 1, true
		str.call.param, str.call.nth = parameter(str.call.member, 1,
			str.call.chain)
	elseif token then
		local top = self.stack[#self.stack]
		if top and top.text == "(" and (token.text == "(" or token.text == ",")
		then
			str.call = self:call(#self.stack)
			str.first = str.call and str.call.arg == 1
		elseif top and top.text == "{" then
			str.call, str.table = self:call(#self.stack), top
			str.key = token.text == "=" and top.key or nil
		end
	end
	return str
end

local function place_word(self)
	local tokens = self.tokens
	local last = tokens[#tokens]
	self.from, self.word = self.at + 1, ""
	if last and last.to == self.at and (last.kind == "name"
		or last.kind == "keyword") then
		self.from, self.word = last.from, last.text
		tokens[#tokens] = nil
	end
end

---@param text string the whole entry
---@param at integer bytes before the cursor
---@param ctx table
---@return table cursor text at ctx tokens stack state word from; chain and sep of a
---member; str of an open string; fields of an open table that is documented
function Cursor.new(text, at, ctx)
	local self = setmetatable({ text = text, at = at, ctx = ctx, names = {} },
		Cursor)
	if text:find "^%s*:" and not text:sub(1, at):find "\n" then
		self.command = text:sub(1, at):match "^%s*:(.*)$"
		self.from, self.word = at + 1, ""
		self.tokens, self.stack, self.state = {}, {}, { kind = "command" }
		return self
	end
	local state
	self.tokens, state = scan(text:sub(1, at))
	self.state = state
	if state.kind == "code" then place_word(self) end
	self.from, self.word = self.from or at + 1, self.word or ""
	self.stack, self.match = brackets(self.tokens)
	self.locals = {}
	self.locals = find_locals(self)
	for n, open in ipairs(self.stack) do
		if open.block and self.tokens[open.token].text == "function" then
			local keep = self.stack
			self.stack = table.move(keep, 1, n - 1, 1, {})
			add_arguments(self, open)
			self.stack = keep
		end
	end
	local tokens = self.tokens
	local last = tokens[#tokens]
	if state.kind == "string" then
		self.str = open_string(self, state)
	elseif last and (last.text == "." or last.text == ":")
		and state.kind == "code" then
		self.sep = last.text
		self.chain = chain_to(self, #tokens - 1)
	end
	local top = self.stack[#self.stack]
	if top and top.text == "{" then
		self.fields = docs.fields(self:type_of_table(#self.stack))
		self.open = top
	end
	return self
end

return Cursor
