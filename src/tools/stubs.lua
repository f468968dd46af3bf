-- stubs: from a Lua module's text to what it says of itself: its comments and the
-- lines that they stand above, no code. The build embeds these beside the
-- compiled modules: one source for editors, `help` and completion. Returns the
-- function; run by src/tools/embed.c.

-- The head of a function, which may span lines.
local function head(lines, n, line)
	while not line:find ")" and lines[n + 1] do
		n = n + 1
		line = line .. " " .. lines[n]:match "^%s*(.*)$"
	end
	return line:match "^.-%b()" or line
end

local function declares(line, block)
	local public = line:find "^function%s+[%a_][%w_]*[.:]"
		or line:find "^return%s+function"
	if public then return true, true end
	if not block:find("---", 1, true) then return false end
	return line:find "^local%s+[%a_][%w_]*%s*="
		or line:find "^[%a_][%w_]*%.[%a_][%w_]*%s*=",
		false
end

-- What the file returns, when that is a name.
local function owner_of(text) return text:match "\nreturn%s+([%a_][%w_]*)%s*$" end

-- Local functions that are handed out: NAME -> the name they have outside, of
-- `M.get = get`.
local function exported(text, owner)
	local out = {}
	for name, own in text:gmatch("\n" .. (owner or "-")
		.. "%.([%a_][%w_]*)%s*=%s*([%a_][%w_]*)%s*\n") do
		out[own] = name
	end
	return out
end

-- What is another module's: "NAME opsh.c.fs read", of `NAME = c.read`; and
-- "---@mirror CLASS", where each method of a class is a function too.
local function borrowed(text, out, owner)
	local from = {}
	for name, module in text:gmatch
		"local%s+([%a_][%w_]*)%s*=%s*require%s*%(?%s*\"([%w_.]+)\"" do
		from[name] = module
	end
	if not owner then return end
	local mirrored, body = text:match
		"\nfor name, method in pairs%(([%a_][%w_]*)%) do(.-)\nend"
	if mirrored and body:find(owner .. "[name] =", 1, true) then
		out[#out + 1] = "---@mirror " .. mirrored
	end
	local function add(name, module, field)
		if from[module] then
			out[#out + 1] = ("---@same %s.%s %s %s"):format(owner, name,
				from[module], field)
		end
	end
	for fields in text:gmatch("\nlocal%s+" .. owner .. "%s*=%s*(%b{})") do
		for name, module, field in fields:gmatch
			"([%a_][%w_]*)%s*=%s*([%a_][%w_]*)%.([%a_][%w_]*)%s*[,}]" do
			add(name, module, field)
		end
	end
	for name, module, field in text:gmatch("\n" .. owner
		.. "%.([%a_][%w_]*)%s*=%s*([%a_][%w_]*)%.([%a_][%w_]*)%s*\n") do
		add(name, module, field)
	end
end

---@param text string of the module
---@return string stub
return function(text)
	local lines, out, block, first = {}, {}, {}, true
	local owner = owner_of(text)
	local handed = exported(text, owner)
	for line in (text .. "\n"):gmatch "([^\n]*)\n" do
		lines[#lines + 1] = line
	end
	for n, whole in ipairs(lines) do
		local line = whole:match "^%s*(.*)$"
		if line:find "^%-%-" then
			block[#block + 1] = line
		else
			local doc = table.concat(block, "\n")
			local kept, is_function = declares(line, doc)
			local own = line:match "^local%s+function%s+([%a_][%w_]*)"
			if handed[own] and #block > 0 then
				line = ("function %s.%s%s"):format(owner, handed[own],
					line:match "%(.*")
				kept, is_function = true, true
			end
			if first and #block > 0 then
				out[#out + 1] = doc .. "\n"
				first, block = false, {}
			end
			if #block > 0 and (kept or doc:find("@class", 1, true)
				or line:find "^local%s+function" and doc:find "@param") then
				is_function = is_function or line:find "^local%s+function"
				out[#out + 1] = doc .. "\n" .. (is_function
					and head(lines, n, line) or line)
			elseif whole:find "^return%s+[%a_]" then
				out[#out + 1] = line
			end
			block = {}
		end
	end
	borrowed(text, out, owner)
	return table.concat(out, "\n") .. "\n"
end
