-- playbook: from a path or a name to a playbook that is checked and ready to
-- run. The file is read once: the buffer that was checked is the buffer that is
-- executed (fault 49). Owns the search through the playbook folders; the fields
-- of a playbook stand in run.fields. Must not connect to anything.
local sys = require "opsh.c.sys"
local bytecode = require "run.bytecode"
local check = require "run.check"
local fail = require "run.fail"
local fields = require "run.fields"
local inert = require "run.inert"
local members = require "run.members"
local source = require "run.source"
local words = require "run.words"

local playbook = {}

-- Reads and checks; nothing has run yet.
local function open(path, opts)
	local text = source.read(path, "playbook")
	local chunkname = "@" .. path
	local problems, dump = check.source(text, chunkname, opts.env_names,
		{ is_module = opts.is_module })
	local first = check.first_error(problems)
	if first and not opts.problems then
		fail.config("%s:%d: %s", first.file, first.line, first.message)
	end
	return {
		path = path, source = text, chunkname = chunkname, dump = dump,
		problems = problems, script = dump and not bytecode.returns(dump),
	}
end

local function compile(pb, env)
	local chunk, why = load(check.prepare(pb.source), pb.chunkname, "t", env)
	if not chunk then
		fail.config("cannot load playbook '%s': %s", pb.path, why)
	end
	return chunk
end

-- An error of the top level, with the place it has by itself.
local function top_level_failed(pb, e)
	if fail.is(e) and e.kind ~= "lua" then
		error(e, 0)
	end
	fail.config("cannot load playbook '%s': %s", pb.path, fail.text(e))
end

-- What its functions name is there.
local function check_members(pb, spec, collect)
	local found = {}
	members.check(spec, function(line, severity, message)
		found[#found + 1] = { file = pb.path, line = line,
			severity = severity, message = message }
	end)
	local first = check.first_error(found)
	if first and not collect then
		fail.config("%s:%d: %s", first.file, first.line, first.message)
	end
	table.move(found, 1, #found, #pb.problems + 1, pb.problems)
end

local function add_spec(pb, value, collect)
	local shape = bytecode.shape(pb.dump)
	local by_name = bytecode.fields(pb.dump)
	local seen = #pb.problems

	-- The constructor's own line; else any place that sets such a field.
	local function line_of(path)
		local name = path[#path]
		local other = by_name[name]
		return bytecode.line_of(shape, path) or other and other[1] or 1
	end

	local function add(path, message)
		pb.problems[#pb.problems + 1] = { file = pb.path,
			line = line_of(path), message = message, severity = "error" }
	end

	local spec = fields.check(value, add)
	local count = #pb.problems - seen
	if count > 0 and not collect then
		local first = pb.problems[seen + 1]
		fail.config("%s:%d: %s%s", first.file, first.line, first.message,
			count > 1 and (" (and %d more)"):format(count - 1) or "")
	elseif count == 0 then
		check_members(pb, spec, collect)
		pb.spec = spec
		for k, v in pairs(spec) do
			pb[k] = v
		end
	end
end

---Reads, checks and executes a playbook's file; raises kind config with
---"FILE:LINE: why". A file that returns nothing is a script: it is not executed
---here, `chunk` is to be called.
---opts.env: the environment table it runs in (required); opts.env_names: names
---it may use, when they are more than the keys of env; opts.is_module(name).
---@param path string
---@param opts table
---@return table pb path source chunkname problems, and for a playbook spec and
---its fields: name summary needs params run checks ...; for a script chunk
function playbook.load(path, opts)
	local pb = open(path, {
		env_names = opts.env_names or opts.env, is_module = opts.is_module,
	})
	local chunk = compile(pb, opts.env)
	if pb.script then
		pb.chunk = chunk
		return pb
	end
	local ok, value = pcall(chunk)
	if not ok then
		top_level_failed(pb, value)
	end
	add_spec(pb, value, false)
	return pb
end

---As load, for reading about a playbook: the file runs with stand-ins for all
---that could have an effect, for at most some million instructions. With
---opts.problems nothing of the contents raises: see pb.problems.
---@param path string
---@param opts table? env_names, is_module, problems
---@return table pb
function playbook.describe(path, opts)
	opts = opts or {}
	local pb = open(path, opts)
	if pb.script or not pb.dump or check.first_error(pb.problems) then
		return pb
	end
	local env = inert.environment(opts.env_names or check.globals)
	local ok, value = inert.run(compile(pb, env))
	if not ok and not opts.problems then
		top_level_failed(pb, value)
	elseif not ok then
		local text = fail.text(value)
		local line = text:match(":(%d+): ")
		pb.problems[#pb.problems + 1] = { file = path,
			line = tonumber(line) or 1, severity = "error",
			message = "cannot be loaded: " .. text }
		return pb
	end
	add_spec(pb, value, opts.problems)
	return pb
end

---The folders to look for playbooks in, in order: beside the targets file,
---$XDG_DATA_HOME/opsh/playbooks, shipped.
---@param targets_path string? path of the targets file
---@param shipped string? folder of the shipped playbooks
---@return string[]
function playbook.dirs(targets_path, shipped)
	local dirs = {
		source.folder(targets_path or "./opsh.lua") .. "/playbooks",
	}
	local data = sys.getenv "XDG_DATA_HOME"
	local home = sys.getenv "HOME"
	if data and data:sub(1, 1) == "/" then
		dirs[#dirs + 1] = data .. "/opsh/playbooks"
	elseif home and home ~= "" then
		dirs[#dirs + 1] = home .. "/.local/share/opsh/playbooks"
	end
	dirs[#dirs + 1] = shipped
	return dirs
end

local function is_file(path)
	local st = sys.stat(path)
	return st ~= nil and st.type ~= "directory"
end

-- Collects NAME -> path of all FILE.lua below dir; the first folder wins.
local function collect(dir, prefix, found, depth)
	local names = sys.readdir(dir)
	if not names or depth > 4 then
		return
	end
	for _, name in ipairs(names) do
		local path = dir .. "/" .. name
		local st = name:sub(1, 1) ~= "." and sys.stat(path)
		local stem = name:match("^(.+)%.lua$")
		if st and st.type == "directory" then
			collect(path, prefix .. name .. "/", found, depth + 1)
		elseif st and stem and prefix ~= "" and not found[prefix .. stem] then
			found[prefix .. stem] = path
		end
	end
end

---All playbooks of these folders, sorted by name.
---@param dirs string[]
---@return {name: string, path: string}[]
function playbook.list(dirs)
	local found, out = {}, {}
	for _, dir in ipairs(dirs) do
		collect(dir, "", found, 0)
	end
	for _, name in ipairs(words.sorted(found)) do
		if found[name] then
			out[#out + 1] = { name = name, path = found[name] }
		end
	end
	return out
end

---The path of a playbook: `name` itself when it is a path (it ends in .lua or
---starts with . or /), else NAME.lua in the first folder that has it.
---@param name string
---@param dirs string[]
---@return string path
function playbook.find(name, dirs)
	if name:match("%.lua$") or name:match("^%.?%.?/") then
		return name
	end
	if not name:match("^[%w_-]+/[%w_/-]+$") then
		if is_file(name) then
			return name
		end
		fail.config("no playbook '%s': expected a path or DOMAIN/VERB", name)
	end
	for _, dir in ipairs(dirs) do
		local path = ("%s/%s.lua"):format(dir, name)
		if is_file(path) then
			return path
		end
	end
	local known = {}
	for _, entry in ipairs(playbook.list(dirs)) do
		known[entry.name] = true
	end
	fail.raise { kind = "config", message = ("no playbook '%s'%s"):format(name,
		words.suggest(name, known)), hint = "opsh list shows all; looked in "
		.. table.concat(dirs, ", ") }
end

return playbook
