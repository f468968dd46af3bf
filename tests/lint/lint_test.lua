#!/usr/bin/env lua5.4
-- lint_test: each rule of src/tools/lint fires on its bad tree, at the lines
-- named and nowhere else; a clean tree passes them all. Trees are text files in
-- trees/: `-- PATH --` begins a file, `-- expect --` the findings. Runs in memory.
local here = arg[0]:match("^(.*/)[^/]*$") or "./"
package.path = here .. "../../src/tools/?.lua;" .. package.path

local lint = require "lint"

local passed, failed = 0, 0

local function check(ok, name, detail)
	if ok then
		passed = passed + 1
		return
	end
	failed = failed + 1
	print(("not ok: %s\n%s"):format(name, detail or ""))
end

-- A tree's files, and what is expected of it: "PATH:LINE: part of the message".
local function read(path)
	local f <close> = assert(io.open(path, "rb"))
	local files, name = {}, nil
	for line in f:lines() do
		local title = line:match("^%-%- (%S+) %-%-$")
		if title then
			name = title
			files[name] = ""
		elseif name then
			files[name] = files[name] .. line .. "\n"
		end
	end
	local expected = {}
	for line in (files.expect or ""):gmatch("[^\n]+") do
		expected[#expected + 1] = line
	end
	files.expect = nil
	return files, expected
end

local function run(rule, files)
	local findings, warnings = lint.run(rule, lint.tree(files))
	local out = {}
	for _, f in ipairs(findings) do
		out[#out + 1] = ("%s:%d: %s"):format(f[1], f[2], f[3])
	end
	for _, f in ipairs(warnings) do
		out[#out + 1] = ("warning %s:%d: %s"):format(f[1], f[2], f[3])
	end
	return out
end

local function matches(got, expected)
	if #got ~= #expected then return false end
	for n, text in ipairs(expected) do
		local place, part = text:match("^(.-:%d+:) (.*)$")
		if not place or got[n]:sub(1, #place) ~= place
			or not got[n]:find(part, 1, true) then
			return false
		end
	end
	return true
end

local function test_rule(rule)
	local path = here .. "trees/" .. rule.name .. ".txt"
	local f = io.open(path)
	check(f, rule.name .. " has a tree", "  expected " .. path)
	if not f then return end
	f:close()
	local files, expected = read(path)
	local got = run(rule, files)
	check(#expected > 0 and matches(got, expected), rule.name .. " fires",
		"  expected:\n    " .. table.concat(expected, "\n    ")
		.. "\n  got:\n    " .. table.concat(got, "\n    "))
end

local function test_clean()
	local files = read(here .. "trees/clean.txt")
	for _, rule in ipairs(lint.rules) do
		local got = run(rule, files)
		check(#got == 0, rule.name .. " is quiet on a clean tree", "  got:\n    "
			.. table.concat(got, "\n    "))
	end
end

local function test_exceptions()
	local rule = { name = "r", check = function(_, report)
		report("a.c", 1, "bad", "f")
		report("a.c", 2, "bad", "g")
	end }
	local used = {}
	local findings = lint.run(rule, lint.tree {}, { ["a.c f"] = "why" }, used)
	check(#findings == 1 and findings[1][2] == 2, "an exception holds for its "
		.. "subject only")
	check(used["a.c f"], "an exception that is needed is noted")
	local left = lint.unused({ r = { ["a.c f"] = "why", ["b.c f"] = "why" } },
		{ ["r a.c f"] = true })
	check(#left == 1 and left[1][3]:find("b.c f", 1, true), "one that is not "
		.. "needed is a finding")
end

for _, rule in ipairs(lint.rules) do test_rule(rule) end
test_clean()
test_exceptions()
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
