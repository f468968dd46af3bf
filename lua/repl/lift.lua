-- lift: the literals of an entry that are arguments of a target's call, as the
-- parameters of a playbook: `cache:get "flights::7"` becomes `cache:get(p.key)` and a
-- parameter `key` with that default. What says what is done (SQL, a command's words,
-- a verb) stays. Pure: text in, text out; must not change what the entry does.
local lex = require "repl.lex"

local lift = {}

-- What the arguments of a kind's calls are called, in order. false: not lifted.
local POSITIONS = {
	redis = { "key", "value" }, http = { "path" }, kafka = { "topic" },
	postgres = { false, "value", "value", "value", "value", "value" },
	compose = { "service" }, kubernetes = { "service" }, ["local"] = { "service" },
}

-- Methods whose first argument is a word of the call itself.
local WORDS = { cmd = true, info = true, config_get = true, config_set = true,
	script = true, client = true, pipeline = true, object = true, exec = true }

-- Fields that say how, not what; and text that is code.
local FIXED = { verb = true, effect = true, ask = true, class = true, sql = true,
	expect = true }

local LONG = 500	-- a text of more bytes is no parameter

local PATTERNS = { match = true, pattern = true }

local function is_literal(token)
	return token and token.whole and (token.kind == "string"
		or token.kind == "number")
end

-- Nothing before or behind makes it part of an expression.
local ENDS = { [")"] = true, ["}"] = true, [","] = true, [";"] = true }
local STARTS = { ["("] = true, ["{"] = true, [","] = true, [";"] = true,
	["="] = true }

-- `NAME:method` or `NAME` that is called at token n (a bracket or a literal):
-- target's name and the method, nil for a call of the target itself.
local function callee(tokens, n, targets)
	local name, sep, root = tokens[n - 1], tokens[n - 2], tokens[n - 3]
	if not name or name.kind ~= "name" then return nil end
	if sep and sep.text == ":" and root and root.kind == "name"
		and targets[root.text] then
		local before = tokens[n - 4]
		if before and (before.text == "." or before.text == ":") then
			return nil
		end
		return root.text, name.text
	elseif targets[name.text] and not (sep and (sep.text == "."
		or sep.text == ":" or sep.text == "function")) then
		return name.text, nil
	end
end

-- The name that an argument gets by its place, or nil when it stays.
local function name_at(call, position)
	if call.method and WORDS[call.method] then return nil end
	-- the words of a call by one string
	if not call.method and call.kind ~= "http" and position == 1 then
		return nil
	end
	local name = (POSITIONS[call.kind] or {})[position]
	if call.kind == "postgres" and (call.method == "listen"
		or call.method == "notify") then
		name = position == 1 and "channel" or "payload"
	end
	return name or nil
end

local CLOSING = { ["("] = ")", ["{"] = "}", ["["] = "]" }

-- Calls visit(token, name, by_field) for each literal that is lifted.
local function each(tokens, targets, visit)
	local open = {}
	for n, token in ipairs(tokens) do
		local top = open[#open]
		local sign = token.kind == "sign" and token.text
		if sign and CLOSING[sign] then
			local root, method = callee(tokens, n, targets)
			local frame = { sign = sign, position = 1 }
			if root and sign ~= "[" then
				frame.call = { kind = targets[root], method = method }
			elseif sign == "{" and top and top.call and top.sign == "("
				and STARTS[tokens[n - 1].text] and tokens[n - 1].text ~= "=" then
				frame.call = top.call	-- the options table of the call
			end
			-- `cache:scan { .. }`: fields only
			frame.list = sign == "{"
			open[#open + 1] = frame
		elseif top and sign == CLOSING[top.sign] then
			open[#open] = nil
		elseif top and sign == "," then
			top.position = top.position + 1
		elseif is_literal(token) then
			local before, after = tokens[n - 1], tokens[n + 1]
			local root, method = callee(tokens, n, targets)
			if root and token.kind == "string" then
				-- cache:get "x", gateway "/x"
				visit(token, name_at({ kind = targets[root], method = method },
					1), true)
			elseif top and top.call and before and STARTS[before.text]
				and after and ENDS[after.text] then
				local field = before.text == "=" and tokens[n - 2]
				if field and field.kind == "name" and top.list then
					visit(token, not FIXED[field.text]
						and field.text:lower() or nil)
				elseif not top.list and before.text ~= "=" then
					visit(token, name_at(top.call, top.position))
				end
			end
		end
	end
end

local function value_of(token)
	local chunk = load("return " .. token.text, "=literal", "t", {})
	return chunk and chunk() or nil
end

local function type_of(name, value)
	if type(value) == "number" then
		return math.type(value) == "integer" and "integer" or "number"
	end
	return PATTERNS[name] and value:find "[*?]" and not value:find "%c"
		and "pattern" or "string"
end

-- The parameter of this name and value; another value gets another name.
local function param_of(params, name, value)
	local base, n = name, 1
	while true do
		local known = params[name]
		if known and known.default == value
			and math.type(known.default) == math.type(value) then
			return name
		elseif not known then
			params[name] = { type = type_of(base, value), default = value }
			params[#params + 1] = name
			return name
		end
		n = n + 1
		name = base .. "_" .. n
	end
end

-- `pattern = "flights::*"`: a variable of the session that is a literal.
local function assigned(tokens)
	local name, sign, value = tokens[1], tokens[2], tokens[3]
	if #tokens ~= 3 then return nil end
	return name.kind == "name" and sign.text == "="
		and is_literal(value) and value, name.text
end

---An entry's text with its literals lifted to `p.NAME`. params: what was lifted so
---far, by name and in order; it grows.
---@param text string
---@param targets table<string, string> name -> kind
---@param params table
---@param p? string what the parameters are called there
---@return string text
function lift.text(text, targets, params, p)
	local edits = {}
	p = (p or "p") .. "."
	local only, name = assigned(lex.tokens(text))
	local value = only and name:match "^%l[%l%d_]*$" and value_of(only)
	if value then
		return text:sub(1, only.from - 1) .. p .. param_of(params, name, value)
			.. text:sub(only.to + 1)
	end
	each(lex.tokens(text), targets, function(token, field, bare)
		local known = field and field:match "^%l[%l%d_]*$" and value_of(token)
		if not known or known ~= known or type(known) == "string"
			and #known > LONG then
			return
		end
		local param = param_of(params, field, known)
		edits[#edits + 1] = { token, bare and "(" .. p .. param .. ")"
			or p .. param }
	end)
	local out, at = {}, 1
	for _, edit in ipairs(edits) do
		local before = text:sub(at, edit[1].from - 1)
		-- get "x" -> get(p.key)
		if edit[2]:sub(1, 1) == "(" then before = before:gsub("%s+$", "") end
		out[#out + 1] = before .. edit[2]
		at = edit[1].to + 1
	end
	out[#out + 1] = text:sub(at)
	return table.concat(out)
end

return lift
