-- journal: for specs: a run with a journal of its own, and what it recorded. The
-- folder is made and removed here. Loaded with dofile. Must not be used inside a
-- run of the caller's: there is one journal.
local effect = require "opsh.c.effect"
local json = require "opsh.c.json"

local M = {}

---The path of a folder that is not there yet.
function M.temp()
	local dir = os.tmpname()
	os.remove(dir)
	return dir
end

---Runs f(dir, name) within a run of this mode -> its records, which must verify, and
---what f returned.
function M.run(mode, f)
	local dir = M.temp()
	effect.close_run()
	local name = effect.begin_run(dir)
	local before = effect.mode()
	effect.mode(mode)
	local out = table.pack(pcall(f, dir, name))
	effect.mode(before)
	effect.close_run()
	local records, text = {}, ""
	local file = io.open(dir .. "/" .. name .. "/journal.jsonl")
	if file then
		text = file:read "a"
		file:close()
		for line in text:gmatch "[^\n]+" do
			records[#records + 1] = json.decode(line, { binary = "escape" })
		end
		local intact, report = effect.verify(dir, name)
		ok(intact, report.problem)
		eq(report.records, #records)
	end
	os.execute("rm -rf '" .. dir .. "'")
	if not out[1] then error(out[2], 0) end
	records.text = text
	return records, table.unpack(out, 2, out.n)
end

---The records of a type, in order.
function M.of(records, kind)
	local out = {}
	for _, r in ipairs(records) do
		if r.type == kind then out[#out + 1] = r end
	end
	return out
end

return M
