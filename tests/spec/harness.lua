-- harness: describe/it for specs that run inside opsh (test builds: opsh --spec
-- tests/spec/harness.lua FILE...). After each test: a collection, then no task,
-- no handle of the loop may be left. OPSH_SPEC_MODE: "" plain; "gc" runs each
-- test with a whole collection at every allocation; "alloc" runs each again with
-- the n-th allocation failing, for OPSH_SPEC_POINTS values of n.
local testing = require "opsh.c.testing"
local task = require "opsh.task"
local ctask = require "opsh.c.task"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"

local argv = ...
local MODE = os.getenv "OPSH_SPEC_MODE" or ""
local POINTS = math.tointeger(tonumber(os.getenv "OPSH_SPEC_POINTS" or "")) or 12
local ONLY = os.getenv "OPSH_SPEC_ONLY"

collectgarbage "restart"

-- os.tmpname gives names in one folder, which goes with all that is in it at the
-- end: what fails, as by an allocation, may keep a spec from removing its own.
local scratch, scratched = os.tmpname(), 0
assert(os.remove(scratch))
assert(require("opsh.c.sys").mkdir(scratch))

rawset(os, "tmpname", function()
	scratched = scratched + 1
	local path = ("%s/%d"):format(scratch, scratched)
	assert(io.open(path, "w")):close()
	return path
end)

local function sweep()
	os.execute(("rm -rf --one-file-system '%s'"):format(scratch))
end

local stats = { passed = 0, failed = 0, skipped = 0, runs = 0 }
local path = {}		-- names of the describes around
local file

-- assertions --------------------------------------------------------------

local function text(v, depth)
	depth = depth or 0
	if type(v) == "string" then return ("%q"):format(v) end
	if type(v) ~= "table" or err.is(v) or depth > 4 then return tostring(v) end
	local parts, keys = {}, {}
	for k in pairs(v) do keys[#keys + 1] = k end
	table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
	for _, k in ipairs(keys) do
		parts[#parts + 1] = ("[%s] = %s"):format(text(k, depth + 1),
			text(v[k], depth + 1))
	end
	return "{" .. table.concat(parts, ", ") .. "}"
end

local function same(a, b)
	if rawequal(a, b) or a == b then
		return math.type(a) == math.type(b)
	end
	if type(a) ~= "table" or type(b) ~= "table" then
		return a ~= a and b ~= b
	end
	for k, v in pairs(a) do
		if not same(v, b[k]) then return false end
	end
	for k in pairs(b) do
		if a[k] == nil then return false end
	end
	return true
end

function _G.eq(a, b, note)
	if not same(a, b) then
		error(("expected %s, got %s%s"):format(text(b), text(a),
			note and " (" .. tostring(note) .. ")" or ""), 2)
	end
	return a
end

function _G.ok(v, note)
	if not v then error(note or ("expected a true value, got " .. text(v)), 2) end
	return v
end

-- f must raise an error object of this kind, or an error whose text matches.
function _G.raises(kind, f, ...)
	local fine, e = pcall(f, ...)
	if fine then error("expected an error '" .. kind .. "', none came", 2) end
	if err.is(e) and e.kind == kind then return e end
	local said = tostring(e)
	if err.is(e) and not said:find(kind) then said = said .. " " .. text(e.kind) end
	if not said:find(kind) and not said:find(kind, 1, true) then
		error(("expected an error '%s', got: %s"):format(kind, said), 2)
	end
	return e
end

-- running -----------------------------------------------------------------

local function settle(handles)
	for _ = 1, 100 do
		collectgarbage()
		collectgarbage()
		if testing.handles() <= handles and ctask.live() == 1 then return end
		task.sleep(0.01)
	end
	error(("left behind: %d handles (%d before), %d tasks"):format(
		testing.handles(), handles, ctask.live()), 0)
end

local function traceback(e)
	if err.is(e) and e.traceback then
		return tostring(e) .. "\n" .. e.traceback
	end
	return debug.traceback(tostring(e), 2)
end

-- One run of a body in a task of its own, so that what it spawns ends with it. The
-- mode is put back: a body that fails in the middle may have left another.
local function run(body)
	local handles, mode = testing.handles(), effect.mode()
	stats.runs = stats.runs + 1
	local ran, e = xpcall(function() ctask.spawn(body):wait() end, traceback)
	testing.fail_at(0)
	effect.mode(mode)
	local clean, left = pcall(settle, handles)
	if ran and not clean then return false, left end
	return ran, e, clean, left
end

local function stressed(body)
	local pause = collectgarbage("setpause", 0)
	collectgarbage("incremental", 0, 0, 63)	-- each step a whole cycle
	local ran, e = run(body)
	collectgarbage("incremental", pause, 100, 13)
	collectgarbage("setpause", pause)
	return ran, e
end

-- The test must survive each failure: by an error, or by going on.
local function starved(body)
	local before = testing.count()
	local ran, e = run(body)
	if not ran then return ran, e end
	local n = testing.count() - before
	for i = 1, math.min(POINTS, n) do
		-- dense at the start, then spread over the whole run
		local at = i <= POINTS // 3 and i
			or math.max(1, math.floor(n * (i - POINTS // 3) / (POINTS
			- POINTS // 3)))
		local _, _, clean, left = run(function()
			testing.fail_at(at)
			body()
		end)
		if clean == false then
			return false, ("allocation %d of %d failing: %s"):format(at, n,
				left)
		end
	end
	return true
end

local function judge(name, body, opts)
	if ONLY and not name:find(ONLY, 1, true) then return end
	local ran, e
	if MODE == "gc" and not opts.plain then
		ran, e = stressed(body)
	elseif MODE == "alloc" and not opts.plain then
		ran, e = starved(body)
	else
		ran, e = run(body)
	end
	if ran then
		stats.passed = stats.passed + 1
		return
	end
	stats.failed = stats.failed + 1
	io.stdout:write(("FAILED %s: %s\n%s\n"):format(file, name, tostring(e)))
end

function _G.describe(name, f)
	path[#path + 1] = name
	f()
	path[#path] = nil
end

-- opts.plain: not under failing allocations or constant collection (a test of
-- time, or of a whole process).
function _G.it(name, f, opts)
	judge(table.concat(path, " ") .. " " .. name, f, opts or {})
end

-- A server that the stack did not start here: counted, and said.
function _G.skip(name, why)
	stats.skipped = stats.skipped + 1
	io.stdout:write(("skipped %s %s: %s\n"):format(file, name, why))
end

package.preload.harness = function() return _G end

if type(argv) == "table" then
	for n = 3, #argv do
		file = argv[n]:match "[^/]+$"
		local chunk = assert(loadfile(argv[n], "t"))
		local fine, e = xpcall(chunk, traceback)
		if not fine then
			stats.failed = stats.failed + 1
			io.stdout:write(("FAILED %s does not load: %s\n"):format(file,
				tostring(e)))
		end
	end
	sweep()
	io.stdout:write(("%d passed, %d failed, %d skipped\n"):format(stats.passed,
		stats.failed, stats.skipped))
	return stats.failed == 0 and 0 or 1
end
