-- source: reads C and Lua text just well enough to lint it: comments and
-- strings out, lines kept; top-level items and functions with their lines. No
-- parser: what the house style forbids (K&R heads, one-line functions at the
-- left edge of macros) it may misread. Owns nothing; must not judge.
local source = {}

-- Newlines of a piece that is dropped stay, so that line numbers hold.
local function newlines(text)
	return (text:gsub("[^\n]+", ""))
end

-- The end of a quoted string that begins at pos.
local function end_of_quoted(text, pos)
	local quote = text:sub(pos, pos)
	local at = pos + 1
	while true do
		local hit = text:find('[\\\n' .. quote .. ']', at)
		local c = hit and text:sub(hit, hit)
		if not hit then return #text end
		if c ~= "\\" then return hit end
		at = hit + 2
	end
end

---C text without comments; strings emptied unless keep is true.
---@param text string
---@param keep? boolean
---@return string
function source.strip_c(text, keep)
	local out, pos = {}, 1
	while true do
		local at = text:find("[/\"']", pos)
		if not at then break end
		out[#out + 1] = text:sub(pos, at - 1)
		local two = text:sub(at, at + 1)
		local last = at
		if two == "//" then
			last = (text:find("\n", at, true) or #text + 1) - 1
		elseif two == "/*" then
			last = select(2, text:find("*/", at + 2, true)) or #text
			out[#out + 1] = " " .. newlines(text:sub(at, last))
		elseif two:sub(1, 1) == "/" then
			out[#out + 1] = "/"
		else
			last = end_of_quoted(text, at)
			local quote = two:sub(1, 1)
			out[#out + 1] = keep and text:sub(at, last) or quote .. quote
		end
		pos = last + 1
	end
	out[#out + 1] = text:sub(pos)
	return table.concat(out)
end

-- A long bracket that begins at pos: its last position, or nil.
local function end_of_long(text, pos)
	local level = text:match("^%[(=*)%[", pos)
	if not level then return nil end
	return select(2, text:find("]" .. level .. "]", pos, true)) or #text
end

---Lua text without comments; strings emptied unless keep is true.
---@param text string
---@param keep? boolean
---@return string
function source.strip_lua(text, keep)
	local out, pos = {}, 1
	if text:sub(1, 2) == "#!" then pos = text:find("\n", 1, true) or #text end
	while true do
		local at = text:find("[-\"'%[]", pos)
		if not at then break end
		out[#out + 1] = text:sub(pos, at - 1)
		local c, last = text:sub(at, at), at
		if text:sub(at, at + 1) == "--" then
			last = end_of_long(text, at + 2)
				or (text:find("\n", at, true) or #text + 1) - 1
			out[#out + 1] = " " .. newlines(text:sub(at, last))
		elseif c == "[" and end_of_long(text, at) then
			last = end_of_long(text, at)
			out[#out + 1] = keep and text:sub(at, last)
				or '""' .. newlines(text:sub(at, last))
		elseif c == '"' or c == "'" then
			last = end_of_quoted(text, at)
			out[#out + 1] = keep and text:sub(at, last) or c .. c
		else
			out[#out + 1] = c
		end
		pos = last + 1
	end
	out[#out + 1] = text:sub(pos)
	return table.concat(out)
end

---The lines of a text, without their newlines.
---@param text string
---@return string[]
function source.lines(text)
	local list = {}
	for line in (text:sub(-1) == "\n" and text or text .. "\n")
		:gmatch("([^\n]*)\n") do
		list[#list + 1] = line
	end
	return list
end

---A function from positions to line numbers; ask in rising order.
---@param text string
---@return fun(pos: integer): integer
function source.line_counter(text)
	local line, done = 1, 1
	return function(pos)
		if pos < done then line, done = 1, 1 end
		while true do
			local at = text:find("\n", done, true)
			if not at or at >= pos then return line end
			line, done = line + 1, at + 1
		end
	end
end

-- Preprocessor lines, with those they continue on, blanked.
local function without_directives(code)
	local out, inside = {}, false
	for _, line in ipairs(source.lines(code)) do
		inside = inside or line:find("^%s*#") ~= nil
		out[#out + 1] = inside and "" or line
		inside = inside and line:find("\\%s*$") ~= nil
	end
	return table.concat(out, "\n")
end

-- What stands before the name of an item and says nothing: attributes, and
-- macro calls that end without ';' in the lines before.
local function clean_head(head)
	head = head:gsub("__attribute__%s*%b()", "")
	local rest = head
	repeat
		head = rest
		rest = head:gsub("^%s*%u[%u%d_]*%s*%b()%s*", "")
	until rest == head
	return head
end

local function skip_braces(code, pos)
	return select(2, code:find("%b{}", pos)) or #code
end

---The top-level items of C text (stripped or not): functions and declarations.
---@param text string
---@return {kind: "function"|"declaration", name: string?, head: string, line: integer, last: integer}[]
function source.c_items(text)
	local code = without_directives(source.strip_c(text))
	local items, pos = {}, 1
	local line_of = source.line_counter(code)
	while true do
		local first = code:find("%S", pos)
		local at = first and code:find("[;{]", first)
		if not at then return items end
		local head = code:sub(first, at - 1)
		local cleaned = clean_head(head)
		first = first + #head - #cleaned
		local name, parens = cleaned:match("([%a_][%w_]*)%s*(%b())%s*$")
		local item = { head = cleaned, line = line_of(first) }
		if code:sub(at, at) == "{" and name and parens then
			pos = skip_braces(code, at) + 1
			item.kind, item.name = "function", name
		else
			local stop = at
			while code:sub(stop, stop) == "{" do
				stop = code:find("[;{]", skip_braces(code, stop) + 1) or #code
			end
			pos = stop + 1
			item.kind = "declaration"
			item.tail = code:sub(at, stop)
		end
		item.last = line_of(pos - 1)
		items[#items + 1] = item
	end
end

local OPENS = { ["function"] = true, ["do"] = true, ["if"] = true,
	["repeat"] = true }

local function name_of_function(code, before, after)
	local name = code:match("^%s*([%a_][%w_.:]*)%s*%(", after)
	if name then return name end
	local text = code:sub(math.max(1, before - 80), before - 1)
	return text:match("([%a_][%w_.:]*)%s*=%s*$")
		or text:match("([%a_][%w_.:]*)%s*%(?%s*[\"']?[^\n]*$") or "?"
end

---The functions of Lua text: name, first and last line, and `own`: the lines
---without those of functions inside it.
---@param text string
---@return {name: string, line: integer, last: integer, own: integer}[]
function source.lua_functions(text)
	local code = source.strip_lua(text)
	local line_of = source.line_counter(code)
	local list, stack = {}, {}

	local function close(pos)
		local top = table.remove(stack)
		if not top or not top.name then return end
		top.last = line_of(pos)
		local span = top.last - top.line
		top.own = span + 1 - top.inner
		list[#list + 1] = top
		for n = #stack, 1, -1 do
			if stack[n].name then
				stack[n].inner = stack[n].inner + span
				break
			end
		end
	end

	for before, word, after in code:gmatch("()([%a_][%w_]*)()") do
		if OPENS[word] then
			stack[#stack + 1] = { line = line_of(before), inner = 0,
				name = word == "function"
				and name_of_function(code, before, after) or nil }
		elseif word == "end" or word == "until" then
			close(before)
		end
	end
	table.sort(list, function(a, b) return a.line < b.line end)
	return list
end

---The comment block that ends on the line above `line`: its lines, or nil.
---@param lines string[]
---@param line integer
---@param mark string pattern that each of its lines matches
---@return string[]?
function source.block_above(lines, line, mark)
	local first = line
	while first > 1 and lines[first - 1]:find(mark) do first = first - 1 end
	if first == line then return nil end
	return table.move(lines, first, line - 1, 1, {})
end

return source
