-- complete.redis: commands of Redis in `cache "GET ..."` and `cache:cmd("GET", ...)`,
-- with their syntax as a hint, also for methods: `cache:hget(`. Keys are not asked
-- for: there may be millions.
local redis = require "repl.redis"

-- The target whose line or command the open string is.
local function target_of(c)
	local call = c.str and not c.str.table and c.str.call
	local thing = call and call.thing
	if not thing then return nil end
	if thing.target and not thing.owner then
		return thing.target.kind == "redis" and thing.target
	end
	local owner = thing.owner and thing.owner.target
	if owner and owner.kind == "redis" and thing.member
		and thing.member.name == "cmd" and c.str.first then
		return owner
	end
end

-- The command that a line begins with, of one word or two.
local function command_of(commands, line)
	local first, second = line:match "^%s*(%S+)%s+(%S*)"
	if not first then return nil end
	local two = (first .. " " .. second):upper()
	if commands[two] then return two, commands[two] end
	local one = first:upper()
	return one, commands[one]
end

local function hint_text(name, command)
	return { text = (name .. " " .. command.syntax):gsub("%s+$", ""),
		summary = command.summary }
end

local function has_subcommands(commands, first)
	for name in pairs(commands) do
		if name:sub(1, #first + 1) == first .. " " then return true end
	end
end

return {
	order = 10,
	complete = function(c, list)
		local target = target_of(c)
		if not target then return false end
		local commands = redis.commands(c.ctx, target)
		local line = c.str.text
		local first = line:match "^%s*(%S+)%s"
		if first and not (line:match "^%s*%S+%s+%S*$"
			and has_subcommands(commands, first:upper())) then
			return true		-- keys are not asked for
		end
		list:start(c.str.from + #line:match "^%s*", true)
		local lower = line:find "^%s*%l"
		for name, command in pairs(commands) do
			list:add(lower and name:lower() or name, "command",
				command.syntax .. (command.summary and "  " .. command.summary
				or ""), { append = command.syntax ~= "" and " " or nil })
		end
		return true
	end,
	hint = function(c)
		local target = target_of(c)
		if target then
			local commands = redis.commands(c.ctx, target)
			local name, command = command_of(commands, c.str.text .. " ")
			return command and hint_text(name, command)
		end
		local call = c.str and c.str.call or #c.stack > 0
			and not c.stack[#c.stack].block and c:call(#c.stack)
		local thing = call and call.thing
		if not thing or not thing.redis then return nil end
		local commands = redis.commands(c.ctx, thing.owner.target)
		local name = require("run.docs.redis").of_method(commands,
			thing.redis)
		return name and hint_text(name, commands[name])
	end,
}
