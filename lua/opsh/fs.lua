-- fs: files as playbooks see them, the global `fs`. The C module opsh.c.fs, with
-- what needs a Lua hand: lines, and temporary folders that go with their scope.
-- Reading leaves no record; all that changes the machine is an effect on the
-- target `local`, below this module. Must not add a way around it.
local c = require "opsh.c.fs"
local err = require "opsh.c.err"

---@class opsh.fs
local fs = { read = c.read, write = c.write, append = c.append, copy = c.copy,
	rename = c.rename, remove = c.remove, mkdir = c.mkdir, stat = c.stat,
	exists = c.exists, list = c.list, glob = c.glob, hash = c.hash,
	gzip = c.gzip, gunzip = c.gunzip, df = c.df }

local LINE_MAX = 16 * 1024 * 1024

local function too_long(path, max)
	error(err.new { kind = "limit", message = ("a line of '%s' is longer than "
		.. "%d bytes"):format(path, max) }, 0)
end

---Iterates over the lines of a file, without their newline; the file is read in
---pieces, so that its size does not matter. Raises kind io; limit: a line longer
---than `max` bytes (default 16 MiB).
---@param path string
---@param opts? {max?: integer}
---@return fun(): string? next, nil, nil, userdata reader
---
---    for line in fs.lines "/etc/hostname" do print(line) end
function fs.lines(path, opts)
	if opts ~= nil and type(opts) ~= "table" then
		error(("a table of options expected, got %s"):format(type(opts)), 2)
	end
	for name in pairs(opts or {}) do
		if name ~= "max" then
			error(("unknown option '%s' (known: max)"):format(tostring(name)),
				2)
		end
	end
	local max = opts and opts.max or LINE_MAX
	if math.type(max) ~= "integer" or max < 1 then
		error("option 'max' must be an integer, 1 or more", 2)
	end
	local reader = c.open(path)
	local text, at, over = "", 1, false
	-- A line that spans pieces is put together once, at its end.
	local function refill()
		local parts, size = { text:sub(at) }, #text - at + 1
		while true do
			local chunk = reader:chunk()
			if not chunk then
				over = true
				break
			end
			parts[#parts + 1], size = chunk, size + #chunk
			if chunk:find("\n", 1, true) then break end
			if size > max then too_long(path, max) end
		end
		text, at = table.concat(parts), 1
	end
	local function next_line()
		local stop = text:find("\n", at, true)
		if not stop and not over then
			refill()
			stop = text:find("\n", at, true)
		end
		if not stop and at > #text then
			reader:close()
			return nil
		end
		local line = text:sub(at, (stop or #text + 1) - 1)
		at = (stop or #text) + 1
		if #line > max then too_long(path, max) end
		return line
	end
	return next_line, nil, nil, reader
end

---@class opsh.fs.tmpdir
---@field path string
---@operator concat(string): string
local Dir = {}
Dir.__index = Dir
Dir.__name = "opsh.fs.tmpdir"

---Removes the folder with all that is in it; also at the end of its scope, or
---when nothing refers to it any more. May be called twice.
function Dir:close()
	if self.made then c.rmtmp(self.made) end
	self.made = false	-- after it: what failed is tried again
end

Dir.__close = Dir.close

-- Nobody is there to be told; what was refused is on record.
function Dir:__gc() pcall(Dir.close, self) end

function Dir:__tostring() return self.path end

function Dir.__concat(a, b)
	return (getmetatable(a) == Dir and a.path or a)
		.. (getmetatable(b) == Dir and b.path or b)
end

---A new folder that only this user may enter (0700), in `parent`, $TMPDIR or
---/tmp. It is removed with its contents at the end of its scope; links in it are
---removed, not followed. What is in it may be replaced and removed without a
---guard. In a plan it is not made, and has a path that is not there.
---@param parent? string
---@return opsh.fs.tmpdir dir `dir.path`; `dir .. "/name"`; `dir:close()`
---
---    local dir <close> = fs.tmpdir()
---    fs.write(dir .. "/report.txt", "all is well\n")
function fs.tmpdir(parent)
	local dir = setmetatable({ path = false, made = false }, Dir)
	local path, withheld = c.tmpdir(parent)
	dir.path, dir.made = path, not withheld and path
	return dir
end

return fs
