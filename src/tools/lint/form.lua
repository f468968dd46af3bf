-- form: size and looks of files: lengths, heads, tabs, blanks, marks, comments
-- above what Lua can call. Soft limits warn, hard ones fail. Owns the limits;
-- must not judge what code does.
local source = require "source"

local FILE = { soft = 500, hard = 900 }
local FUNCTION = { soft = 60, hard = 100 }
local LINE = 100
local HEAD = { least = 3, most = 8 }
local TAB = 8

local CODE = { "%.c$", "%.h$", "%.lua$", "%.sh$", "%.py$" }

local function code_files(tree)
	local out = {}
	for _, pattern in ipairs(CODE) do
		for _, path in ipairs(tree:match(pattern)) do out[#out + 1] = path end
	end
	table.sort(out)
	return out
end

local function measure(path, line, what, size, limit, report)
	local text = ("%s has %d lines; expected at most %d"):format(what, size,
		limit.soft)
	if size > limit.hard then
		report(path, line, text .. (", never more than %d"):format(limit.hard),
			what)
	elseif size > limit.soft then
		report.warn(path, line, text)
	end
end

local function check_files(tree, report)
	for _, path in ipairs(code_files(tree)) do
		measure(path, 1, "file", #tree:lines(path), FILE, report)
	end
end

local function check_functions(tree, report)
	for _, path in ipairs(tree:match("%.[ch]$")) do
		for _, item in ipairs(source.c_items(tree.files[path])) do
			if item.kind == "function" then
				measure(path, item.line, "function '" .. item.name .. "'",
					item.last - item.line + 1, FUNCTION, report)
			end
		end
	end
	for _, path in ipairs(tree:match("%.lua$")) do
		for _, f in ipairs(source.lua_functions(tree.files[path])) do
			measure(path, f.line, "function '" .. f.name .. "'", f.own,
				FUNCTION, report)
		end
	end
end

local function columns(text)
	local n = 0
	for piece, tab in text:gmatch("([^\t]*)(\t?)") do
		n = n + (utf8.len(piece) or #piece)
		if tab ~= "" then n = n + TAB - n % TAB end
	end
	return n
end

local function check_lines(tree, report)
	for _, path in ipairs(code_files(tree)) do
		for line, text in ipairs(tree:lines(path)) do
			local n = columns(text)
			-- LuaCATS has no way to continue a line
			if n > LINE and not text:find("^%s*%-%-%-@") then
				report(path, line, ("line has %d columns; expected at most %d")
					:format(n, LINE))
			end
		end
	end
end

-- New statements begin with tabs; what continues one may add some spaces.
local function is_spaced(text, new)
	local lead = text:match("^%s*")
	if lead == text then return false end
	return lead:find("        ", 1, true) or lead:find(" \t", 1, true)
		or new and lead:find("^  +$")
end

local function check_tabs(tree, report)
	for _, path in ipairs(tree:match("%.[ch]$")) do
		local before = ""
		local code = source.lines(source.strip_c(tree.files[path], true))
		for line, text in ipairs(code) do
			if is_spaced(text, before:find("[{;]%s*$")) then
				report(path, line, "is indented with spaces; expected tabs, "
					.. "then at most 7 spaces to align")
			end
			if text:find("%S") then before = text end
		end
	end
end

-- The number of lines of a file's head, or nil when it has none. Only its first
-- paragraph is counted: what follows an empty line is documentation.
local HEADS = {}

function HEADS.c(lines)
	if not (lines[1] or ""):find("^/%*") then return nil end
	for n, text in ipairs(lines) do
		if text:find("%*/") or text:find("^%s*%*%s*$") then return n end
	end
end

local function marked(mark)
	return function(lines)
		local first = (lines[1] or ""):find("^#!") and 2 or 1
		while (lines[first] or ""):find("^%-%-%-@meta")
			or (lines[first] or ""):find("^# shellcheck")
			or first > 1 and lines[first] == "" do
			first = first + 1
		end
		local n = 0
		while (lines[first + n] or ""):find(mark .. "%s*%S") do n = n + 1 end
		return n > 0 and n or nil
	end
end

HEADS.h = HEADS.c
HEADS.lua = marked "^%-%-"
HEADS.sh = marked "^#"

function HEADS.py(lines)
	local n = marked "^#" (lines)
	if n then return n end
	local first = (lines[1] or ""):find("^#!") and 2 or 1
	if not (lines[first] or ""):find('^"""') then return nil end
	for k = first, #lines do
		local text = k == first and lines[k]:sub(4) or lines[k]
		-- its summary line stands alone: the paragraph after it counts too
		if text:find('"""', 1, true) or text == "" and k > first + 1 then
			return k - first + 1
		end
	end
end

local function check_heads(tree, report)
	for _, path in ipairs(code_files(tree)) do
		local n = HEADS[path:match("%.(%l+)$")](tree:lines(path))
		if not n then
			report(path, 1, ("has no head comment; expected %d to %d lines: what "
				.. "it is, what it owns, what it must not do")
				:format(HEAD.least, HEAD.most))
		elseif n < HEAD.least or n > HEAD.most then
			report(path, 1, ("head comment has %d lines; expected %d to %d")
				:format(n, HEAD.least, HEAD.most))
		end
	end
end

-- Written apart, so that this file does not have them.
local MARKS = { "TO" .. "DO", "FIX" .. "ME", "X" .. "XX", "HA" .. "CK" }

local function check_marks(tree, report)
	for _, path in ipairs(tree.paths) do
		for line, text in ipairs(tree:lines(path)) do
			for _, mark in ipairs(MARKS) do
				if text:find("%f[%w_]" .. mark .. "%f[^%w_]") then
					report(path, line, ("has the mark %s; expected it done, or "
						.. "NEEDSWORK: for an open design"):format(mark))
				end
			end
		end
	end
end

local function check_blanks(tree, report)
	for _, path in ipairs(tree.paths) do
		local lines = tree:lines(path)
		for line, text in ipairs(lines) do
			if text:find("[ \t\r]$") then
				report(path, line, "ends in white space; expected none")
			end
		end
		if #lines > 0 and (lines[#lines] == ""
			or tree.files[path]:sub(-1) ~= "\n") then
			report(path, #lines, "file ends in the wrong way; expected exactly one "
				.. "newline")
		end
	end
end

-- What Lua itself defines needs no signature.
local METHODS = { "_gc$", "_close$" }

local function check_functions_of_lua(tree, report)
	for _, path in ipairs(tree:match("^src/.*%.c$")) do
		local lines = tree:lines(path)
		for line, text in ipairs(lines) do
			local name = text:match("^static int (l_[%w_]+)%(")
			local plain = name ~= nil
			for _, method in ipairs(METHODS) do
				plain = plain and not name:find(method)
			end
			if plain and not (lines[line - 1] or ""):find("%*/%s*$") then
				report(path, line, ("'%s' has no comment; expected its "
					.. "signature and result: name(a [, b]) -> result")
					:format(name))
			end
		end
	end
end

return {
	{ "file-length", "files are short", check_files },
	{ "function-length", "functions are short", check_functions },
	{ "line-length", "lines fit", check_lines },
	{ "tabs", "C is indented with tabs", check_tabs },
	{ "head", "each file says what it is", check_heads },
	{ "marks", "nothing is left to do", check_marks },
	{ "blanks", "no white space at line ends", check_blanks },
	{ "signatures", "each l_ function says its signature",
	  check_functions_of_lua },
}
