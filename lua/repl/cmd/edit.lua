-- :edit: an entry in $VISUAL or $EDITOR: the last one, or a new one. The file is 0600
-- and gone afterwards; what is saved in it runs as an entry, nothing does when it is
-- left as it was or empty. The editor has the terminal meanwhile.
local command = require "repl.command"
local fail = require "run.fail"
local sys = require "opsh.c.sys"

local MAX = 1 << 20

local function editor()
	for _, name in ipairs { "VISUAL", "EDITOR" } do
		local text = sys.getenv(name)
		if text and text:find "%S" then return (command.words(text)) end
	end
	return { "vi" }
end

local serial = 0

-- In a folder that only we can read, where there is one.
local function new_file(text)
	local dir = sys.getenv "XDG_RUNTIME_DIR"
	if not dir or dir == "" or not sys.stat(dir) then
		dir = sys.getenv "TMPDIR"
		if not dir or dir == "" then dir = "/tmp" end
	end
	for _ = 1, 100 do
		serial = serial + 1
		local path = ("%s/opsh-entry.%d.%d.lua"):format(dir, sys.pid(), serial)
		if sys.save(path, text) then return path end
		if not sys.stat(path) then break end
	end
	fail.raise { kind = "io", message = ("cannot make a file in '%s'"):format(
		dir) }
end

-- The entry before, this one and its like left aside.
local function last(ctx)
	for n = #(ctx.entries or {}), 1, -1 do
		local text = ctx.entries[n]
		if not text:find "^%s*:%s*ed" then return text end
	end
	return ""
end

return {
	name = "edit",
	summary = "opens the last entry in $EDITOR and runs what is saved",
	usage = "[new]",
	args = { { name = "new", kind = "text", optional = true } },
	run = function(ctx, args)
		if args[1] and args[1] ~= "new" then
			fail.usage(":edit: 'new' or nothing, not '%s'", args[1])
		end
		local text = args[1] and "" or last(ctx)
		local path = new_file(text == "" and "" or text .. "\n")
		local _ <close> = setmetatable({}, { __close = function()
			os.remove(path)
			os.remove(path .. "~")
		end })
		local argv = editor()
		argv[#argv + 1] = path
		local ended = require("repl.launch").lend(ctx, argv)
		if ended.status ~= 0 then
			fail.raise { kind = "io", message = ("'%s' ended with %s: nothing is "
				.. "run"):format(argv[1], ended.status
				and "exit status " .. ended.status
				or "signal " .. ended.signal) }
		end
		local got, why = sys.read(path, MAX)
		if not got then fail.raise { kind = "io", message = why } end
		got = got:gsub("%s+$", "")
		if got == "" or got == text then
			ctx.err "nothing has changed, nothing is run\n"
			return
		end
		require("opsh.c.term").write(2, got .. "\n")
		ctx.next_entry = got		-- the session's, once this has ended
	end,
}
