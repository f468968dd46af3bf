-- opsh check: what can be known of playbooks, scripts and targets files without
-- running them. Connects to nothing. Owns what is printed; the checks
-- themselves are run.check and run.playbook.
local bytecode = require "run.bytecode"
local check = require "run.check"
local env = require "run.env"
local fail = require "run.fail"
local playbook = require "run.playbook"
local source = require "run.source"
local targets = require "run.targets"
local words = require "run.words"

local EXIT_OK, EXIT_USAGE = 0, 2

-- A file that returns `targets` and no `run` is a targets file.
local function is_targets_file(path)
	local text = source.read(path, "file")
	local _, dump = check.source(text, "@" .. path)
	local shape = dump and bytecode.shape(dump)
	return shape ~= nil and shape.fields.targets ~= nil
		and shape.fields.run == nil
end

local function targets_problems(path)
	local ok, e = pcall(targets.load, path, { secret = require "opsh.secret" })
	if ok then
		return {}
	elseif fail.is(e) and e.kind ~= "config" then
		error(e, 0)
	end
	local message = fail.text(e)
	local prefix, line, text = message:match("^(.-):(%d+): (.*)$")
	if prefix ~= path then
		line, text = nil, message
	end
	return { { file = path, line = tonumber(line) or 1, message = text,
		severity = "error" } }
end

-- Names that scripts may use besides opsh's own: the targets at hand.
local function known_names(ctx)
	local names = env.names()
	local ok, config = pcall(ctx.config)
	if ok then
		for name in pairs(config.targets) do
			names[name] = true
		end
	elseif fail.is(config) and config.kind ~= "config" then
		error(config, 0)
	end
	return names
end

local function playbook_problems(path, names)
	local pb = playbook.describe(path, { env_names = names, problems = true,
		is_module = env.is_module })
	local list = pb.problems
	if pb.name and not path:find(pb.name .. ".lua", 1, true) then
		list[#list + 1] = { file = path, line = 1, severity = "warning",
			message = ("its name is '%s', so opsh finds it only in a file "
			.. "'%s.lua'"):format(pb.name, pb.name) }
	end
	return list
end

local function count(problems, severity)
	local n = 0
	for _, problem in ipairs(problems) do
		n = n + (problem.severity == severity and 1 or 0)
	end
	return n
end

local function show(ctx, problems)
	check.sort(problems)
	if ctx.output == "jsonl" then
		ctx.rows(problems, { columns = { "file", "line", "severity",
			"message" } })
		return
	end
	for _, problem in ipairs(problems) do
		ctx.out(check.format(problem) .. "\n")
	end
end

return {
	summary = "checks playbooks, scripts and targets files without running them",
	usage = "[--strict] FILE...",
	options = {
		{ name = "strict", help = "warnings count as errors" },
	},
	help = [[
FILE is a path, or the name of a playbook. Checked: syntax, undefined globals,
modules, fields, the targets, parameters and methods that its functions name,
tests of a write's result that Lua can't intercept.
Exit code 0: no error; 2: errors.]],
	run = function(ctx, args)
		if #args == 0 then
			fail.usage("check: which file? usage: opsh check FILE...")
		end
		local names = known_names(ctx)
		local errors, warnings = 0, 0
		for _, arg in ipairs(args) do
			local path = playbook.find(arg, ctx.dirs)
			local problems = is_targets_file(path)
				and targets_problems(path)
				or playbook_problems(path, names)
			show(ctx, problems)
			errors = errors + count(problems, "error")
			warnings = warnings + count(problems, "warning")
		end
		ctx.err(("%d checked, %s, %s\n"):format(#args,
			words.count(errors, "error"), words.count(warnings, "warning")))
		local bad = errors > 0 or args.options.strict and warnings > 0
		return bad and EXIT_USAGE or EXIT_OK
	end,
}
