-- settings: what `:set` knows, one declaration each: type, default, help. Whoever
-- prints or measures reads the value from ctx.settings.NAME. A new setting is a
-- row here and its reader. Owns the list and how a value is read from text.
local fail = require "run.fail"
local params = require "run.params"
local words = require "run.words"

local settings = {}

---@type { name: string, type: string, default: any, help: string, choices?: string[], words?: string[], min?: number, max?: number }[]
settings.list = {
	{ name = "rows", type = "integer", default = 100, min = 0,
	  help = "rows of a result that are printed; 0: all" },
	{ name = "expanded", type = "enum", default = "auto",
	  choices = { "auto", "on", "off" },
	  help = "one line a column: auto when a table is too wide" },
	{ name = "pager", type = "string", default = "auto", takes = "auto off COMMAND",
	  words = { "auto", "off" },
	  help = "what is longer than the screen goes to $PAGER, to it, or just on" },
	{ name = "traceback", type = "boolean", default = false,
	  help = "errors with the frames that they came from; :errors has them too" },
	{ name = "timing", type = "boolean", default = true,
	  help = "how long an entry took, when it was not short" },
	{ name = "interval", type = "duration", default = 2, min = 0.1,
	  help = "seconds between two looks of :watch and :chart" },
}

local by_name = {}
for _, setting in ipairs(settings.list) do by_name[setting.name] = setting end

---Gives those that are not set their defaults.
---@param values table<string, any>
---@return table<string, any> values
function settings.fill(values)
	for _, setting in ipairs(settings.list) do
		if values[setting.name] == nil then
			values[setting.name] = setting.default
		end
	end
	return values
end

---The declaration of a setting; raises kind usage for an unknown name.
---@param name string
---@return table
function settings.find(name)
	local setting = by_name[name]
	if not setting then
		fail.usage("unknown setting '%s'%s", name, words.hint(name, by_name))
	end
	return setting
end

---Sets one from its text. Raises kind usage.
---@param values table<string, any>
---@param name string
---@param text string
---@return any value
function settings.set(values, name, text)
	local value, why = params.convert(settings.find(name), text, true)
	if value == nil then
		fail.usage("setting '%s': %s, got '%s'", name, why, text)
	end
	values[name] = value
	return value
end

---The values and what they mean, as rows.
---@param values table<string, any>
---@return table[]
function settings.rows(values)
	local rows = {}
	for n, setting in ipairs(settings.list) do
		local value = values[setting.name]
		if type(value) == "boolean" then value = value and "on" or "off" end
		rows[n] = { name = setting.name, value = tostring(value),
			takes = setting.takes
				or setting.choices and table.concat(setting.choices, " ")
				or setting.type == "boolean" and "on off" or setting.type,
			what = setting.help }
	end
	return rows
end

return settings
