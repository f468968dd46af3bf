-- source: reads a file that will be executed, once, and only when nobody else
-- can change it (fault 74). What it returns is what is checked and what is run:
-- a path that is swapped later changes nothing (fault 49). Owns the rule who
-- may own such a file; must not run anything.
local sys = require "opsh.c.sys"
local fail = require "run.fail"

local source = {}

local MAX_SIZE = 4 << 20
local OTHERS_WRITE = 2		-- S_IWOTH
local STICKY = 512		-- S_ISVTX

---The folder part of a path: "." when there is none.
---@param path string
---@return string
function source.folder(path)
	local dir = path:match("^(.*)/[^/]*$")
	if dir == "" then
		return "/"
	end
	return dir or "."
end

local function check_owner(path, st)
	local me = sys.euid()
	if st.uid ~= me and st.uid ~= 0 then
		fail.raise { kind = "config", message =
			("refusing '%s': it belongs to user %d, not to you (%d) or root")
			:format(path, st.uid, me) }
	elseif st.mode & OTHERS_WRITE ~= 0 then
		fail.raise { kind = "config", message =
			("refusing '%s': everybody can write it"):format(path),
			hint = ("chmod o-w '%s'"):format(path) }
	end
end

-- In a folder that all can write, anybody can put another file in its place,
-- unless the folder is sticky, as /tmp is.
local function check_folder(path)
	local dir = source.folder(path)
	local st = sys.stat(dir)
	if st and st.mode & OTHERS_WRITE ~= 0 and st.mode & STICKY == 0 then
		fail.raise { kind = "config", message =
			("refusing '%s': everybody can write its folder '%s'")
			:format(path, dir), hint = ("chmod o-w '%s'"):format(dir) }
	end
end

-- "PATH: why" of the system, without the path.
local function reason(path, message)
	message = message or "no such file"
	if message:sub(1, #path + 2) == path .. ": " then
		message = message:sub(#path + 3)
	end
	return message
end
source.reason = reason

---Reads a file of source text. Raises kind config: not there, not ours,
---writable by others, too large, a folder.
---@param path string
---@param what string "playbook", "targets file": for messages
---@return string
function source.read(path, what)
	local st, why = sys.stat(path)
	if not st then
		fail.config("cannot open %s '%s': %s", what, path, reason(path, why))
	elseif st.type == "directory" then
		fail.config("cannot open %s '%s': it is a folder", what, path)
	elseif st.type == "file" then
		check_owner(path, st)
		check_folder(path)
	end
	local text, failure = sys.read(path, MAX_SIZE)
	if not text then
		fail.config("cannot read %s '%s': %s", what, path,
			reason(path, failure))
	end
	return text
end

return source
