#!/usr/bin/env lua5.4
-- lint: holds the tree against the house rules. One rule is one function in
-- lint/*.lua; this file reads the files, runs the rules, prints the findings as
-- FILE:LINE: what is wrong; what is expected. `lua5.4 src/tools/lint.lua [ROOT]`;
-- with `require` it is a library (tests/lint). Last line: N passed, N failed.
local here = (debug.getinfo(1, "S").source:match("^@(.*/)[^/]*$") or "./")
package.path = here .. "lint/?.lua;" .. package.path

local source = require "source"

local lint = { rules = {} }

for _, part in ipairs { "rooms", "calls", "form", "docs" } do
	for _, rule in ipairs(require(part)) do
		table.insert(lint.rules, { name = rule[1], summary = rule[2],
			check = rule[3] })
	end
end

local EXTENSIONS = { "c", "h", "def", "lua", "sh", "py", "md", "mk" }
local FOLDERS = { "src", "lua", "playbooks", "examples", "tests" }

local Tree = {}
Tree.__index = Tree

---The tree of these files, as the rules see it.
---@param files table<string, string> path -> text
---@return table
function lint.tree(files)
	local tree = setmetatable({ files = files, paths = {}, kept = {} }, Tree)
	for path in pairs(files) do table.insert(tree.paths, path) end
	table.sort(tree.paths)
	return tree
end

-- The paths that match a pattern, sorted.
function Tree:match(pattern)
	local out = {}
	for _, path in ipairs(self.paths) do
		if path:find(pattern) then out[#out + 1] = path end
	end
	return out
end

function Tree:keep(what, path, make)
	local key = what .. ":" .. path
	self.kept[key] = self.kept[key] or make(self.files[path] or "")
	return self.kept[key]
end

function Tree:lines(path) return self:keep("lines", path, source.lines) end

-- C text without comments and strings.
function Tree:code(path) return self:keep("code", path, source.strip_c) end

---Runs one rule. used: exceptions that a finding needed, filled here.
---@param rule table
---@param tree table
---@param exceptions? table<string, string>
---@param used? table<string, boolean>
---@return table[] findings, table[] warnings: {path, line, message}
function lint.run(rule, tree, exceptions, used)
	local findings, warnings = {}, {}
	local report = setmetatable({}, {
		__call = function(_, path, line, message, subject)
			local key = path .. " " .. tostring(subject)
			if exceptions and exceptions[key] then
				used[key] = true
			else
				table.insert(findings, { path, line, message })
			end
		end,
	})
	function report.warn(path, line, message)
		table.insert(warnings, { path, line, message })
	end
	rule.check(tree, report)
	for _, list in ipairs { findings, warnings } do
		table.sort(list, function(a, b)
			if a[1] ~= b[1] then return a[1] < b[1] end
			if a[2] ~= b[2] then return a[2] < b[2] end
			return a[3] < b[3]
		end)
	end
	return findings, warnings
end

---Findings for exceptions that are not needed.
---@param exceptions table<string, table>
---@param used table<string, boolean> "RULE FILE SUBJECT"
---@return table[]
function lint.unused(exceptions, used)
	local out = {}
	for rule, list in pairs(exceptions) do
		for key in pairs(list) do
			if not used[rule .. " " .. key] then
				local text = ("exception '%s' of rule %s is not needed; "
					.. "expected it gone"):format(key, rule)
				out[#out + 1] = { "src/tools/lint/exceptions.lua", 1, text }
			end
		end
	end
	return out
end

local function read_tree(root)
	local names = {}
	for n, extension in ipairs(EXTENSIONS) do
		names[n] = "-name '*." .. extension .. "'"
	end
	local command = ("cd '%s' && find %s -type f \\( %s \\)"):format(
		root:gsub("'", "'\\''"), table.concat(FOLDERS, " "),
		table.concat(names, " -o "))
	local files, pipe = {}, assert(io.popen(command))
	for path in pipe:lines() do
		local f <close> = assert(io.open(root .. "/" .. path, "rb"))
		files[path] = f:read("a")
	end
	if not pipe:close() or not next(files) then
		io.stderr:write(("lint: cannot read the tree at '%s'\n"):format(root))
		os.exit(2)
	end
	return lint.tree(files)
end

local function show(list, rule, label)
	for _, f in ipairs(list) do
		print(("%s:%d: %s%s [%s]"):format(f[1], f[2], label, f[3], rule))
	end
end

local function main(root)
	local tree = read_tree(root)
	local exceptions = require "exceptions"
	local used, passed, failed, warned = {}, 0, 0, 0
	for _, rule in ipairs(lint.rules) do
		local needed = {}
		local findings, warnings = lint.run(rule, tree, exceptions[rule.name],
			needed)
		for key in pairs(needed) do used[rule.name .. " " .. key] = true end
		show(findings, rule.name, "")
		show(warnings, rule.name, "warning: ")
		warned = warned + #warnings
		if #findings > 0 then failed = failed + 1 else passed = passed + 1 end
	end
	local left = lint.unused(exceptions, used)
	show(left, "exceptions", "")
	if #left > 0 then failed = failed + 1 else passed = passed + 1 end
	print(("lint: %d files, %d warnings"):format(#tree.paths, warned))
	print(("%d passed, %d failed"):format(passed, failed))
	return failed == 0
end

if not pcall(debug.getlocal, 4, 1) then
	os.exit(main(arg[1] or "."))
end

return lint
