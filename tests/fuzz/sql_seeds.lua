-- sql_seeds: writes the corpus of SQL as seeds for fuzz_sql, one file a statement,
-- into the folder given, and their words as its dictionary beside it. Must not run
-- anything.
local corpus = dofile "tests/spec/sql_corpus.lua"
local folder = assert(arg[1], "usage: sql_seeds.lua FOLDER")
local words, seen, count = {}, {}, 0

local function put(path, text)
	local file = assert(io.open(path, "wb"))
	file:write(text)
	assert(file:close())
end

local function seed(text)
	count = count + 1
	put(("%s/%03d"):format(folder, count), text)
	for word in text:lower():gmatch "[%a_][%w_]+" do
		if not seen[word] then
			seen[word] = true
			words[#words + 1] = ('"%s "'):format(word)
		end
	end
end

for _, list in ipairs { "read", "write", "destructive", "leaks", "ask",
	"transaction" } do
	for _, entry in ipairs(corpus[list]) do
		seed(type(entry) == "table" and entry[1] or entry)
	end
end
put(folder .. ".dict", table.concat(words, "\n") .. "\n")
