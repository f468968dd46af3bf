-- docker.program: what docker's own program is given to run another in a container:
-- its flags and its environment. Owns which variables it would take for itself;
-- runs nothing.
local err = require "opsh.c.err"
local secret = require "opsh.secret"

local M = {}

-- Options that are those of sh.run.
M.RUN = "stdin timeout kill_after effect accept max expect live stdout stderr"

-- What docker's own program reads.
local OWN = { PATH = true, HOME = true, TMPDIR = true, TZ = true, LANG = true,
	LC_ALL = true, TERM = true, SSH_AUTH_SOCK = true }

-- The names of the variables, sorted.
local function variables(env)
	local names = {}
	for name, value in pairs(env or {}) do
		if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
			error(err.new { kind = "usage", message = ("'%s' is no name of a "
				.. "variable"):format(tostring(name)) }, 0)
		elseif type(value) ~= "string" and not secret.is(value) then
			error(err.new { kind = "usage", message = ("variable '%s' must be a "
				.. "string or a secret"):format(name) }, 0)
		end
		names[#names + 1] = name
	end
	table.sort(names)
	return names
end

---"docker VERB [flags]", and the options of its run for opsh.docker.call. Values of
---variables go by our own environment, never by arguments.
---@param verb string "exec", "run"
---@param argv string[] of the program, only looked at
---@param opts table of RUN, and env, cwd, user
---@return string[] line, table options
function M.line(verb, argv, opts)
	if type(argv) ~= "table" or type(argv[1]) ~= "string" then
		error(err.new { kind = "usage", message = verb .. "(name, { PROGRAM, "
			.. "ARGUMENT, ... }) expected" }, 0)
	end
	local line = { "docker", verb }
	local o = { class = opts.effect or "destructive", verb = verb, env = {} }
	for word in M.RUN:gmatch "%S+" do
		if word ~= "effect" then o[word] = opts[word] end
	end
	if opts.stdin ~= nil then line[#line + 1] = "--interactive" end
	for _, name in ipairs(variables(opts.env)) do
		local value = opts.env[name]
		if OWN[name] or name:find "^DOCKER_" or name:find "^LD_" then
			-- docker's own program would take it for itself
			line[#line + 1] = "--env"
			line[#line + 1] = secret.is(value) and value or name .. "=" .. value
		else
			table.move({ "--env", name }, 1, 2, #line + 1, line)
			o.env[name] = value
		end
	end
	for _, flag in ipairs { "cwd", "user" } do
		if opts[flag] then
			line[#line + 1] = flag == "cwd" and "--workdir" or "--user"
			line[#line + 1] = opts[flag]
		end
	end
	return line, o
end

return M
