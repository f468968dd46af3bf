-- ports: who listens where on this machine, from `ss`, or from /proc where there is
-- none. For "is its port taken?". Reads only. Must not judge whether a listener is
-- the right one: the caller knows whose it should be.
local M = {}

-- One listening TCP socket.
---@class opsh.ports.row
---@field port integer
---@field address string "0.0.0.0", "127.0.0.1", "::" ...
---@field program? string where the kernel lets us see it
---@field pid? integer

---Reads what `ss -ltnpH` prints.
---@param text string
---@return opsh.ports.row[]
function M.of_ss(text)
	local rows = {}
	for line in text:gmatch "[^\n]+" do
		local here = line:match "^%S+%s+%d+%s+%d+%s+(%S+)"
		local address, port = (here or ""):match "^(.*):(%d+)$"
		if port then
			rows[#rows + 1] = { port = math.tointeger(tonumber(port)),
				address = (address:gsub("[%[%]]", ""):gsub("%%.*", "")),
				program = line:match 'users:%(%("([^"]*)"',
				pid = math.tointeger(tonumber(line:match "pid=(%d+)" or "")) }
		end
	end
	return rows
end

-- "0100007F" as the kernel writes it: bytes of each word in the host's order.
local function address_of(hex)
	if #hex ~= 8 then return hex:match "^0+$" and "::" or "[" .. hex .. "]" end
	local parts = {}
	for byte in hex:gmatch "%x%x" do
		table.insert(parts, 1, tostring(tonumber(byte, 16)))
	end
	return table.concat(parts, ".")
end

---Reads /proc/net/tcp or tcp6; names no program.
---@param text string
---@return opsh.ports.row[]
function M.of_proc(text)
	local rows = {}
	for address, port, state in text:gmatch
		"%d+: (%x+):(%x%x%x%x) %x+:%x%x%x%x (%x%x)" do
		if state == "0A" then
			rows[#rows + 1] = { port = math.tointeger(tonumber(port, 16)),
				address = address_of(address) }
		end
	end
	return rows
end

---All that listen on this machine now, by port.
---@return table<integer, opsh.ports.row> by the port's number
function M.listening()
	local sh = require "opsh.sh"
	local rows
	if sh.which "ss" then
		rows = M.of_ss(sh.run({ "ss", "-ltnpH", effect = "read",
			timeout = 10 }).stdout)
	else
		local fs = require "opsh.fs"
		rows = M.of_proc(fs.read "/proc/net/tcp")
		if fs.exists "/proc/net/tcp6" then
			for _, row in ipairs(M.of_proc(fs.read "/proc/net/tcp6")) do
				rows[#rows + 1] = row
			end
		end
	end
	local by = {}
	for _, row in ipairs(rows) do
		if not by[row.port] or row.program then by[row.port] = row end
	end
	return by
end

return M
