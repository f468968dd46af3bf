-- kinds: kind of target -> schemes of its URLs, from the build's one list of
-- bindings (src/bind/bindings.def). A binding without schemes is no kind.
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
