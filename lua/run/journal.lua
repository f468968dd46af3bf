-- journal: reading records for the views (plan, timeline, verify, runs). Owns the
-- way from a run's name to its folder. Writes nothing; must not judge the chain:
-- that is opsh verify.
local fail = require "run.fail"
local json = require "opsh.c.json"
local sys = require "opsh.c.sys"
local session = require "run.session"

local journal = {}

---The records of a run's folder, decoded, in order. A torn last line ends it.
---@param dir string
---@return fun(): table?
function journal.records(dir)
	local path = dir .. "/journal.jsonl"
	local f, why = io.open(path, "rb")
	if not f then fail.usage("cannot open journal: %s", why) end
	return function()
		local line = f:read "L"
		if not line or line:sub(-1) ~= "\n" then
			f:close()
			f = { read = function() end, close = function() end }
			return nil
		end
		local ok, record = pcall(json.decode, line, { binary = "escape" })
		if not ok then
			fail.raise { kind = "verify", message = ("cannot read '%s': %s")
				:format(path, fail.text(record)),
				hint = "opsh verify says where it is damaged" }
		end
		return record
	end
end

---The names of all runs, oldest first.
---@return string[]
function journal.runs()
	local out = {}
	for _, name in ipairs(sys.readdir(session.runs_dir()) or {}) do
		if #name == 26 and name:match "^[%dA-Z]+$" then
			out[#out + 1] = name
		end
	end
	table.sort(out)
	return out
end

---The run that a person means: its name, its beginning when only one has it, or
---"last".
---@param name? string
---@return string run, string dir
function journal.find(name)
	local runs, found = journal.runs(), {}
	if not name then fail.usage "a run is needed: its name, or 'last'" end
	if name == "last" then
		found[1] = runs[#runs]
	else
		for _, run in ipairs(runs) do
			if run:sub(1, #name) == name:upper() then
				found[#found + 1] = run
			end
		end
	end
	if #found == 0 then
		fail.usage("no run '%s' in %s", name, session.runs_dir())
	elseif #found > 1 then
		fail.usage("'%s' begins %d runs: %s ...", name, #found, found[1])
	end
	return found[1], session.runs_dir() .. "/" .. found[1]
end

return journal
