-- kinds: which kinds of targets are built in, and the URL schemes of each; from
-- src/bind/bindings.def, the only list of bindings. Must not load any: a binding
-- costs its libraries.
local sys = require "opsh.c.sys"

local kinds = {}

for name, schemes in pairs(sys.kinds()) do
	local list = {}
	for scheme in schemes:gmatch("%S+") do
		list[#list + 1] = scheme
	end
	if #list > 0 then
		kinds[name] = list
	end
end

return kinds
