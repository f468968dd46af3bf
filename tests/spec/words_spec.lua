-- words_spec: calls of targets as one string: words, options, quotes, numbers, and
-- what is said of a word that is none. Pure: it needs no target, and what the words
-- mean to a kind is in that kind's spec.
require "harness"
local words = require "opsh.words"

describe("words", function()
	it("are taken apart: split", function()
		eq({ words.split "lag payments" }, { { "lag", "payments" }, {} })
		eq({ words.split " consume orders max=10 key='a b' json=true x=-1.5" },
			{ { "consume", "orders" }, { max = 10, key = "a b", json = true,
				x = -1.5 } })
		eq({ words.split "'two words' 7" }, { { "two words", 7 }, {} })
		eq({ words.split "" }, { {}, {} })
		eq({ words.split "a==b" }, { {}, { a = "=b" } })
		raises("unfinished quote", words.split, "a 'b")
	end)
	it("name those that are there: unknown", function()
		local e = raises("usage", words.unknown, "stauts", { status = 1,
			logs = 2, __call = 3 })
		eq(e.message, "unknown word 'stauts' (did you mean 'status'?)")
		eq(e.hint, "one of: logs, status")
		eq(raises("usage", words.unknown, "zzz", { logs = 2 }).message,
			"unknown word 'zzz'")
	end)
end)
