-- opsh completion: the script that teaches a shell the words of opsh, one file a
-- shell in lua/run/shell; and those words, which the scripts ask for. A new shell
-- is a new file. Must not fail where a shell asks: it would talk into the line.
local fail = require "run.fail"
local sys = require "opsh.c.sys"

local FOLDER <const> = "lua/run/shell/"

local function shells()
	local out = {}
	for _, path in ipairs(sys.files(FOLDER)) do
		out[#out + 1] = path:match "([%w_]+)%.sh$"
	end
	return table.concat(out, ", ")
end

local function tell_words(ctx, all)
	local cli = require "run.cli"
	local ok, found = pcall(require("run.shell.words").find, all, cli.list())
	for _, one in ipairs(ok and found or {}) do
		ctx.out(one[1] .. (one[2] and "\t" .. one[2]:gsub("%s+", " ") or "")
			.. "\n")
	end
	return 0
end

return {
	summary = "the script that completes words in your shell",
	usage = "SHELL",
	options = {
		{ name = "words", help = "what the last word can become; for the scripts" },
	},
	help = [[
bash: source <(opsh completion bash)      in ~/.bashrc
zsh:  source <(opsh completion zsh)       in ~/.zshrc, after compinit
fish: opsh completion fish | source       in ~/.config/fish/config.fish]],
	run = function(ctx, args)
		if args.options.words then return tell_words(ctx, args) end
		local text = #args == 1 and args[1]:find "^%l+$"
			and sys.file(FOLDER .. args[1] .. ".sh")
		if not text then
			fail.usage("completion: one of %s expected%s", shells(),
				args[1] and (", got '%s'"):format(args[1]) or "")
		end
		ctx.out(text)
		return 0
	end,
}
