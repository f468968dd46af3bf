-- opsh doc PLAYBOOK: what it does, needs and takes, from the playbook itself.
-- Owns the layout. Must not run it: it is read with stand-ins for all that
-- could have an effect.
local env = require "run.env"
local fail = require "run.fail"
local params = require "run.params"
local playbook = require "run.playbook"
local words = require "run.words"

local function shown(def)
	if def.required then
		return "(required)"
	elseif type(def.default) == "table" then
		return table.concat(def.default, ",")
	end
	return def.default ~= nil and tostring(def.default) or nil
end

-- raw: default as it is; otherwise as text, for people.
local function param_rows(pb, raw)
	local rows = {}
	for _, name in ipairs(words.sorted(pb.params)) do
		local def = pb.params[name]
		if def then
			local default = def.default
			if not raw then
				default = shown(def)
			end
			rows[#rows + 1] = {
				name = name, type = def.type, unit = def.unit,
				required = raw and def.required or nil,
				default = default,
				help = params.describe(def),
			}
		end
	end
	return rows
end

local function need_rows(pb)
	local rows = {}
	for _, name in ipairs(words.sorted(pb.needs)) do
		local need = pb.needs[name]
		if need then
			rows[#rows + 1] = {
				name = name, kind = table.concat(need.kinds, ", "),
				role = need.role, help = need.help,
				optional = need.optional or nil,
			}
		end
	end
	return rows
end

local function check_names(pb)
	local names = {}
	for n, entry in ipairs(pb.checks) do
		names[n] = entry.name
	end
	return names
end

-- Text that a playbook holds as a long string, with its common indent removed.
local function dedent(text)
	local least
	for indent, rest in text:gmatch("\n([ \t]*)([^\n]*)") do
		if rest ~= "" and (not least or #indent < #least) then
			least = indent
		end
	end
	if least and least ~= "" then
		text = text:gsub("\n" .. least, "\n")
	end
	return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

local function section(ctx, title, rows, columns)
	if #rows > 0 then
		ctx.out("\n" .. title .. "\n")
		ctx.rows(rows, { columns = columns })
	end
end

local function facts(pb)
	local rows = {}
	local function add(name, value)
		if value and value ~= "" then
			rows[#rows + 1] = ("%-9s %s\n"):format(name, value)
		end
	end
	add("severity", pb.severity)
	add("owner", pb.owner)
	add("runbook", pb.runbook)
	add("tags", table.concat(pb.tags or {}, ", "))
	add("lock", pb.lock)
	add("timeout", pb.timeout and pb.timeout .. " s")
	add("programs", table.concat(pb.binaries or {}, ", "))
	add("checks", table.concat(check_names(pb), ", "))
	add("verify", pb.verify and "yes, after the last step")
	add("undo", pb.undo and "yes, offered when it failed")
	add("file", pb.path)
	return table.concat(rows)
end

-- An empty list is left out: it would be written as an empty object.
local function filled(list)
	return list[1] ~= nil and list or nil
end

local function show(ctx, pb)
	ctx.out(("%s: %s\n"):format(pb.name, pb.summary))
	if pb.description then
		ctx.out("\n" .. dedent(pb.description) .. "\n")
	end
	ctx.out("\n" .. facts(pb))
	section(ctx, "targets", need_rows(pb), { "name", "kind", "role", "help" })
	section(ctx, "parameters", param_rows(pb),
		{ "name", "type", "default", "help" })
	if pb.example then
		ctx.out("\nexample\n")
		for _, line in ipairs(pb.example) do
			ctx.out("  " .. line .. "\n")
		end
	end
end

return {
	summary = "what a playbook does, needs and takes",
	usage = "PLAYBOOK",
	options = {},
	run = function(ctx, args)
		if #args ~= 1 then
			fail.usage("doc: one playbook, got %d; usage: opsh doc PLAYBOOK",
				#args)
		end
		local names = env.names()
		local path = playbook.find(args[1], ctx.dirs)
		local pb = playbook.describe(path, { env_names = names })
		if pb.script then
			fail.config("'%s' is a script: it returns nothing, so it has no "
				.. "description", path)
		elseif ctx.output == "jsonl" then
			ctx.rows({ {
				name = pb.name, summary = pb.summary, path = pb.path,
				description = pb.description and dedent(pb.description),
				severity = pb.severity, owner = pb.owner, tags = pb.tags,
				runbook = pb.runbook, lock = pb.lock, timeout = pb.timeout,
				binaries = pb.binaries, checks = filled(check_names(pb)),
				needs = filled(need_rows(pb)),
				params = filled(param_rows(pb, true)),
				example = pb.example,
			} }, {})
		else
			show(ctx, pb)
		end
		return 0
	end,
}
