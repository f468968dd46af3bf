-- history: the entries of all sessions, oldest first, in one file that only we
-- can read: a line an entry, its time and its text. Owns the format and what may
-- be kept; the file is changed by opsh.c.line, under its lock.
local history = {}

history.MAX = 2 << 20		-- bytes of the file, then the oldest half goes
history.ITEMS = 10000		-- that a session takes of it
history.LONG = 64 << 10		-- bytes; a longer entry is this session's only

local ESCAPES = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r",
	["\0"] = "\\0" }
local PLAIN = { ["\\"] = "\\", n = "\n", r = "\r", ["0"] = "" }

---A line of the file.
---@param text string
---@param time integer unix seconds
---@return string
function history.line(text, time)
	return ("%d\t%s\n"):format(time, (text:gsub("[\\\n\r\0]", ESCAPES)))
end

---The entries of a file's contents; lines that can't be read are passed over.
---@param contents string
---@return {time: integer, text: string}[]
function history.parse(contents)
	local out = {}
	for time, text in contents:gmatch "(%d+)\t([^\n]*)\n" do
		out[#out + 1] = { time = math.tointeger(tonumber(time)) or 0,
			text = (text:gsub("\\(.)", PLAIN)) }
	end
	return out
end

---What is left of a file that is too large: its newer half, whole lines.
---@param contents string
---@param max integer
---@return string? nil: it is not too large
function history.trim(contents, max)
	if #contents <= max then return nil end
	local at = contents:find("\n", #contents - max // 2, true)
	return at and contents:sub(at + 1) or ""
end

-- Names that a secret is given to, and words that one follows.
local SECRETS = { "passw", "passphrase", "secret", "token", "api_?key",
	"credential", "private_?key" }

local function assigns_secret(text)
	local low = text:lower()
	for _, word in ipairs(SECRETS) do
		-- name = "literal", { name = 'literal' }, ["name"] = [[literal]]
		if low:find("[%w_]*" .. word .. "[%w_]*[\"']?%]?%s*=%s*[\"'%[]")
			-- SQL and command lines: PASSWORD 'x', --token x, token=x
			or low:find(word .. "[%w_]*%s+'")
			or low:find("%-%-[%w-]*" .. word .. "[%w-]*[= '\"]")
			or low:find("[\"'%s?&;]" .. word .. "[%w_]*=[^%s=]")
			or low:find "secret%.value%s*%(?%s*[\"'%[]" then
			return true
		end
	end
	return low:find "%a[%w+.-]*://[^%s/:@]*:[^%s/@]+@" ~= nil
		-- what stands alone there is the password
		or low:find "redis%a?://[^%s/:@]+@" ~= nil
end

---May this be kept? Not what begins with a blank, nor what holds a secret.
---@param text string
---@param mask fun(text: string): string replaces registered secrets
---@return boolean
---@return string? why not
function history.keeps(text, mask)
	if text:find "^%s" then return false, "blank" end
	if mask(text) ~= text or assigns_secret(text) then
		return false, "secret"
	end
	return true
end

---The path of the file; nil when there is no place for one.
---@return string?
function history.path()
	local sys = require "opsh.c.sys"
	local state = sys.getenv "XDG_STATE_HOME"
	if not (state and state:sub(1, 1) == "/") then
		local home = sys.getenv "HOME"
		if not home or home:sub(1, 1) ~= "/" then return nil end
		state = home .. "/.local/state"
	end
	return state .. "/opsh/history"
end

local History = {}
History.__index = History

-- Once a session: what can't be kept is no reason to stop.
function History:_warn(why)
	if self.warned then return end
	self.warned = true
	require("opsh.log").warn(("history: %s; this session's entries are not "
		.. "kept"):format(tostring(why)))
end

---Adds an entry, unless it may not be kept. The newest is not repeated.
---@param text string
---@return boolean kept
function History:add(text)
	local line = require "opsh.c.line"
	local keeps, why = history.keeps(text, require("opsh.c.term").mask)
	if not keeps or text == self.newest then return keeps, why end
	self.newest = text
	line.remember((text:gsub("\0", "")))
	if not self.path or #text > history.LONG then return true end
	local size, problem = line.append(self.path, history.line(text, os.time()))
	if not size then
		self:_warn(problem)
	elseif size > history.MAX then
		line.rewrite(self.path, function(contents)
			return history.trim(contents, history.MAX)
		end)
	end
	return true
end

---The history of this session; what earlier ones have kept can be recalled.
---@return table
function history.open()
	local sys, line = require "opsh.c.sys", require "opsh.c.line"
	local self = setmetatable({ path = history.path() }, History)
	if not self.path then return self end
	local folder = self.path:match "^(.*)/"
	pcall(sys.mkdir, folder)
	local contents = sys.read(self.path, 4 * history.MAX) or ""
	local items = history.parse(contents)
	for n = math.max(1, #items - history.ITEMS + 1), #items do
		line.remember(items[n].text)
		self.newest = items[n].text
	end
	return self
end

return history
