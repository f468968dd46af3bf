-- Specs of the JSON binding: exact values both ways, limits, positions, and
-- that what is refused is refused with its place. Pure: no file, no target. Owns
-- nothing.
local json = require "opsh.json"

local function back(value, opts)
	return json.decode(json.encode(value, opts), opts)
end

local function refused(kind, text, opts)
	return raises(kind, function() json.decode(text, opts) end).message
end

local function not_encoded(value, opts, kind)
	return raises(kind or "usage", function()
		json.encode(value, opts)
	end).message
end

describe("json.decode", function()
	it("reads every type", function()
		local t = json.decode [[{"s":"a\u00e9\n","i":42,"f":1.0,"e":1e3,
			"t":true,"n":false,"a":[1,[],{}],"o":{"x":null}}]]
		eq(t.s, "a\u{e9}\n")
		eq(math.type(t.i), "integer")
		eq(math.type(t.f), "float")
		eq(math.type(t.e), "float")
		eq(t.t, true)
		eq(t.n, false)
		eq(#t.a, 3)
		eq(json.decode "5", 5)
		eq(json.decode ' "x" ', "x")
		eq(json.decode "\"a\\u0000b\"", "a\0b")
	end)

	it("keeps int64 exact, and refuses what is beyond", function()
		eq(json.decode "9223372036854775807", math.maxinteger)
		eq(json.decode "-9223372036854775808", math.mininteger)
		eq(json.decode "9007199254740993", 9007199254740993)
		ok(refused("limit", "[1,\n 9223372036854775808]"):find(
			"integer beyond int64 at line 2", 1, true))
		ok(refused("limit", "-9223372036854775809"):find("int64", 1, true))
		ok(refused("limit", "1e999"):find("double", 1, true))
	end)

	it("drops null fields, keeps null elements, or what is asked", function()
		local t = json.decode '{"a":null,"b":[null,1]}'
		eq(t.a, nil)
		eq(t.b[1], json.null)
		eq(#t.b, 2)
		eq(json.decode "null", nil)
		t = json.decode('{"a":null,"b":[null]}', { null = json.null })
		eq(t.a, json.null)
		t = json.decode('{"a":null,"b":[null]}', { null = false })
		eq(t.a, false)
		eq(t.b[1], false)
		eq(json.decode("null", { null = "none" }), "none")
	end)

	it("refuses what is no JSON, with the place", function()
		for _, text in ipairs { "", " ", "{", "[1,]", "{\"a\":1,}", "01", "+1",
			"'a'", "nul", "[1] x", "{a:1}", "// x\n1", "NaN", "Infinity",
			"0x10", "\"\t\"", "\"\\x\"", "\"\\ud800\"", "1 2", "[1\0]",
			"{\"a\\u0000b\":1}" } do
			ok(refused("protocol", text):find("at line %d+, column %d+"), text)
		end
		ok(refused("protocol", "{\n \"a\": x}"):find("line 2, column 7", 1, true))
	end)

	it("refuses invalid UTF-8, with the place", function()
		for _, bytes in ipairs { "\xff", "\xc0\x80", "\xed\xa0\x80",
			"\xf4\x90\x80\x80", "\xe2\x82" } do
			ok(refused("protocol", '["' .. bytes .. '"]'):find("UTF-8", 1, true))
		end
	end)

	it("limits the depth before the parser sees the text", function()
		local function nested(n) return ("["):rep(n) .. ("]"):rep(n) end
		ok(json.decode(nested(128)))
		ok(refused("limit", nested(129)):find(
			"deeper than 128 at line 1, column 129", 1, true))
		ok(json.decode(nested(1000), { max_depth = 1000 }))
		ok(refused("limit", ("["):rep(1000000)))
		ok(refused("limit", ('{"a":'):rep(1000000)))
		ok(refused("limit", "[[1]]", { max_depth = 1 }))
		ok(json.decode("[\"[[[[\\\"[[[[\"]", { max_depth = 1 }))
	end)

	it("takes the last of equal keys, or refuses them", function()
		eq(json.decode '{"a":1,"a":2}'.a, 2)
		ok(refused("protocol", '{"a":1,"a":2}', { unique_keys = true })
			:find("duplicate", 1, true))
	end)

	it("checks its arguments", function()
		raises("string expected", function() json.decode(5) end)
		raises("unknown option 'deep'", function()
			json.decode("1", { deep = 1 })
		end)
		raises("max_depth", function() json.decode("1", { max_depth = 0 }) end)
		raises("max_depth", function() json.decode("1", { max_depth = 5000 }) end)
		raises("binary", function() json.decode("1", { binary = "x" }) end)
	end)
end)

describe("json.encode", function()
	it("writes every type", function()
		eq(json.encode { b = true, a = "x\"\\\n\1", n = 1, f = 1.0,
			l = { 1, { 2 } }, z = json.null },
			[=[{"a":"x\"\\\n\u0001","b":true,"f":1.0,"l":[1,[2]],"n":1,"z":null}]=])
		eq(json.encode(nil), "null")
		eq(json.encode "\u{20ac}", "\"\u{20ac}\"")
		eq(json.encode(-0.0), "-0.0")
		eq(json.encode(0.1), "0.1")
		eq(json.encode(1e300), "1e+300")
		eq(json.encode(5e-324), "4.94065645841247e-324")
		eq(json.encode(math.mininteger), "-9223372036854775808")
		eq(json.encode(2 ^ 53), "9007199254740992.0")
	end)

	it("gives numbers back as they were", function()
		for _, n in ipairs { 0, 1, -1, math.maxinteger, math.mininteger, 0.5,
			1.0, 1 / 3, math.pi, 1e15, 1e16, 1e17, 123456789012345680.0,
			2 ^ 63, -2.0 ^ 63, 5e-324, 1.7976931348623157e308 } do
			local got = back(n)
			eq(got, n)
			eq(math.type(got), math.type(n))
		end
	end)

	it("tells arrays from objects", function()
		eq(json.encode {}, "{}")
		eq(json.encode(json.array()), "[]")
		eq(json.encode(json.array { 1 }), "[1]")
		eq(json.encode(json.decode "[[],{}]"), "[[],{}]")
		raises("another metatable", function()
			json.array(setmetatable({}, {}))
		end)
	end)

	it("indents, and sorts or not", function()
		eq(json.encode({ a = { 1, 2 }, b = {} }, { indent = 2 }),
			"{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}")
		local text = json.encode({ a = 1, b = 2, c = 3 }, { sort_keys = false })
		eq(json.decode(text), { a = 1, b = 2, c = 3 })
		eq(json.encode { ["a"] = 1, ["a\0"] = 2, ["A"] = 3 },
			[[{"A":3,"a":1,"a\u0000":2}]])
	end)

	it("refuses what JSON can't hold, with the path", function()
		ok(not_encoded({ a = { b = { 1, print } } }):find(
			"'a.b[2]': a function can't be JSON", 1, true))
		ok(not_encoded(0 / 0):find("'value': a number that is", 1, true))
		ok(not_encoded { x = math.huge }:find("'x': a number", 1, true))
		ok(not_encoded { 1, nil, 3 }:find("without holes", 1, true))
		ok(not_encoded { [0] = 1 }:find("without holes", 1, true))
		ok(not_encoded { [1.5] = 1 }:find("without holes", 1, true))
		ok(not_encoded { [true] = 1 }:find("without holes", 1, true))
		ok(not_encoded { 1, a = 2 }:find("both names and numbers", 1, true))
		ok(not_encoded(json.array { a = 2 }):find("both", 1, true))
		ok(not_encoded(io.stdout):find("a userdata", 1, true))
		ok(not_encoded(coroutine.create(print)):find("a thread", 1, true))
		ok(not_encoded(setmetatable({}, { __metatable = false })):find(
			"does not show", 1, true))
	end)

	it("refuses cycles and depth", function()
		local t = { a = {} }
		t.a.b = t
		ok(not_encoded(t):find("'a.b': a table that contains itself", 1, true))
		local same = {}
		eq(json.encode { same, same }, "[{},{}]")
		local deep = {}
		for _ = 1, 127 do
			deep = { deep }
		end
		ok(json.encode(deep))
		ok(not_encoded({ deep }, nil, "limit"):find("deeper than 128", 1, true))
		ok(json.encode({ deep }, { max_depth = 129 }))
	end)

	it("uses __tojson", function()
		local object = setmetatable({ 1, 2 }, { __tojson = function(o)
			return { n = #o }
		end })
		eq(json.encode { object }, '[{"n":2}]')
		raises("stop", function()
			json.encode { setmetatable({}, { __tojson = function()
				error "stop"
			end }) }
		end)
	end)

	it("survives a __tojson that changes the table", function()
		local t = {}
		for n = 1, 50 do
			t["key" .. n] = setmetatable({}, { __tojson = function()
				for k in pairs(t) do
					t[k] = nil
				end
				collectgarbage()
				return n
			end })
		end
		ok(json.encode(t):find("^{\"key1\":1}$"))
	end)

	it("refuses bytes that are not UTF-8, with the place", function()
		ok(not_encoded { k = "ab\xff" }:find("'k': invalid UTF-8 at byte 3", 1, true))
		ok(not_encoded { ["\xff"] = 1 }:find("invalid UTF-8", 1, true))
	end)
end)

describe("binary = 'escape'", function()
	local ESCAPE = { binary = "escape" }

	it("gives all bytes back", function()
		local bytes = {}
		for n = 0, 255 do
			bytes[n + 1] = string.char(n)
		end
		local all = table.concat(bytes)
		for _, s in ipairs { all, all:reverse(), "\xff", "a\xe2\x82", "\xed\xb2\x80",
			"\u{10ffff}\xff", "\\udc80", "\\\xff", "\"\xff\"" } do
			eq(back(s, ESCAPE), s)
			local name = s:gsub("\0", "")
			eq(back({ [name] = { s } }, ESCAPE), { [name] = { s } })
		end
		eq(json.encode("\xff", ESCAPE), [["\udcff"]])
	end)

	it("reads only lone escapes as bytes", function()
		eq(json.decode([["\udc80\uDCFF"]], ESCAPE), "\x80\xff")
		eq(json.decode([["\ud83d\ude00"]], ESCAPE), "\u{1f600}")
		eq(json.decode([["\ud800\udc80"]], ESCAPE), "\u{10080}")
		eq(json.decode([["\\udc80"]], ESCAPE), "\\udc80")
		eq(json.decode([["\\\udc80"]], ESCAPE), "\\\x80")
		refused("protocol", [["\udc7f"]], ESCAPE)
		refused("protocol", [["\ud800"]], ESCAPE)
		refused("protocol", [["\udc80"]])
	end)

	it("is not confused by the code points it could use", function()
		for _, s in ipairs { "\u{10ff00}80\xff", "\u{10ff00}\u{10ff01}ff\xfe" } do
			eq(back(s, ESCAPE), s)
		end
		eq(json.decode([["\udbff\udf00ff\udc81"]], ESCAPE), "\u{10ff00}ff\x81")
		local every = {}
		for n = 0, 255 do
			every[n + 1] = utf8.char(0x10ff00 + n)
		end
		local text = '"' .. table.concat(every) .. '\\udc80"'
		ok(refused("limit", text, ESCAPE):find("no code point", 1, true))
		eq(back(table.concat(every), ESCAPE), table.concat(every))
	end)

	it("keeps the places of errors", function()
		ok(refused("protocol", '["\\udc80",\n x]', ESCAPE):find("line 2", 1, true))
	end)
end)
