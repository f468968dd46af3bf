-- Specs of opsh.table: layout, what tells NULL, nil and "" apart, widths, and
-- that nothing foreign or secret survives in a cell. Text in, text out; owns
-- nothing.
local term = require "opsh.c.term"
local tab = require "opsh.table"

local function lines(rows, opts)
  opts = opts or {}
  if opts.width == nil then opts.width = false end
  local out = {}
  for line in tab.format(rows, opts):gmatch "(.-)\n" do out[#out + 1] = line end
  return out
end

local function widest(list)
  local w = 0
  for _, line in ipairs(list) do w = math.max(w, term.width(line)) end
  return w
end

local real = { cell = term.cell, is_tty = term.is_tty }

-- Runs f with fields of opsh.c.term replaced.
local function with_term(fields, f)
  for k, v in pairs(fields) do term[k] = v end
  local done, err = pcall(f)
  for k, v in pairs(real) do term[k] = v end
  if not done then error(err, 0) end
end

describe("table.format of rows", function()
  it("has a header, a rule, the rows and their number", function()
    eq(lines { { key = "a", ttl = 5 }, { key = "bcd", ttl = 1000 } }, {
      "key   ttl",
      "---  ----",
      "a       5",
      "bcd  1000",
      "(2 rows)",
    })
  end)

  it("ends in a newline", function()
    eq(tab.format({ { a = 1 } }, { width = false }), "a\n-\n1\n(1 row)\n")
  end)

  it("aligns only columns of numbers at the right", function()
    eq(lines { { v = 1 }, { v = "xyz" } },
      { "v", "---", "1", "xyz", "(2 rows)" })
    eq(lines { { v = 1 }, {}, { v = term.null }, { v = 12345 } },
      { "    v", "-----", "    1", "", " NULL", "12345", "(4 rows)" })
  end)

  it("tells NULL, nil, the empty string and the word NULL apart", function()
    eq(lines({ { a = 1, v = term.null }, { a = 2 }, { a = 3, v = "" },
      { a = 4, v = "NULL" }, { a = 5, v = " x" } }), {
      "a  v",
      "-  ------",
      "1  NULL",
      "2",
      '3  ""',
      '4  "NULL"',
      '5  " x"',
      "(5 rows)",
    })
  end)

  it("takes columns in the order given, with titles", function()
    eq(lines({ { a = 1, b = 2, c = 3 } },
      { columns = { "c", { key = "a", title = "first" } } }),
      { "c  first", "-  -----", "3      1", "(1 row)" })
  end)

  it("takes rows that are lists", function()
    eq(lines { { 1, "x" }, { 2, "y" } },
      { "1  2", "-  -", "1  x", "2  y", "(2 rows)" })
    eq(lines({ { 1, "x" } }, { columns = { "id", "name" } }),
      { "id  name", "--  ----", " 1  x", "(1 row)" })
  end)

  it("stops at the cap and says so", function()
    local rows = {}
    for i = 1, 1000 do rows[i] = { n = i } end
    local out = lines(rows, { cap = 3 })
    eq(#out, 6)
    eq(out[6], "(1000 rows, 3 shown)")
    eq(lines(rows)[1003], "(1000 rows)")
  end)

  it("caps by itself on a terminal only", function()
    local rows = {}
    for i = 1, 300 do rows[i] = { n = i } end
    with_term({ is_tty = function() return true end }, function()
      local out = lines(rows)
      eq(out[#out], "(300 rows, 200 shown)")
    end)
    with_term({ is_tty = function() return false end }, function()
      local out = lines(rows)
      eq(out[#out], "(300 rows)")
    end)
  end)

  it("says that there are none", function()
    eq(lines {}, { "(0 rows)" })
    eq(lines { {}, {} }, { "(2 rows)" })
  end)

  it("shows nested tables, cycles too, and no addresses", function()
    local loop = { x = 1 }
    loop.me = loop
    local out = lines { { v = { 1, "a", { k = term.null } } }, { v = loop },
      { v = print } }
    eq(out[3], "{1, a, {k=NULL}}")
    eq(out[4], "{me={…}, x=1}")
    eq(out[5], "function")
  end)
end)

describe("table.format and the width", function()
  it("counts columns, not bytes", function()
    eq(lines { { a = "日本", b = "x" }, { a = "é", b = "y" } }, {
      "a     b",
      "----  -",
      "日本  x",
      "é     y",
      "(2 rows)",
    })
  end)

  it("cuts the wide cells with an ellipsis, never a number", function()
    local out = lines({ { id = 123456789, a = ("x"):rep(100),
      b = ("y"):rep(10) } }, { width = 40 })
    eq(out[3], ("x"):rep(16) .. "…" .. "  yyyyyyyyyy  123456789")
    ok(widest(out) <= 40)
  end)

  it("gives each wide column the same", function()
    local out = lines({ { a = ("x"):rep(100), b = ("y"):rep(100) } },
      { width = 42 })
    eq(out[2], ("-"):rep(20) .. "  " .. ("-"):rep(20))
  end)

  it("never cuts a character in two", function()
    for width = 6, 14 do
      local out = lines({ { a = ("日"):rep(20) } }, { width = width })
      ok(utf8.len(out[3]), out[3])
      ok(widest(out) <= math.max(width, 8))
    end
  end)

  it("goes down the page when the columns are too many", function()
    local row = {}
    for i = 1, 26 do row[string.char(96 + i)] = ("v"):rep(20) end
    local out = lines({ row }, { width = 40 })
    eq(out[1], "-- row 1 --")
    eq(out[2], "a  vvvvvvvvvvvvvvvvvvvv")
    eq(#out, 28)
    eq(out[28], "(1 row)")
  end)

  it("has no limit when it isn't a terminal", function()
    with_term({ is_tty = function() return false end }, function()
      local text = tab.format { { a = ("x"):rep(5000) } }
      ok(text:find(("x"):rep(5000), 1, true))
    end)
  end)
end)

describe("table.format and what comes from outside", function()
  it("escapes every cell, title and key", function()
    local evil = "a\27[31m\r\n\u{202e}b\xff\0"
    for _, value in ipairs { { { v = evil } }, { { [evil] = 1 } }, { evil },
      { k = evil }, { [evil] = 1 }, { { v = { evil } } }, evil } do
      local text = tab.format(value, { width = false })
      ok(not text:find "[%z\1-\9\11-\31\127]", text)
      ok(not text:find("\u{202e}", 1, true), text)
      ok(utf8.len(text), text)
    end
  end)

  it("masks every cell before it is laid out", function()
    local hidden = "hunter2!hunter2!"
    with_term({ cell = function(text, max)
      text = text:gsub(hidden, "[secret]", nil)
      if max and #text > max then
        return text:sub(1, max - 1) .. "…", max
      end
      return text, #text
    end }, function()
      local text = tab.format({ { a = "x" .. hidden, b = ("z"):rep(50) } },
        { width = 30 })
      ok(not text:find("hunter", 1, true), text)
    end)
  end)
end)

describe("table.format of other values", function()
  it("shows a map as names and values", function()
    eq(lines { role = "master", connected = 2, host = "" },
      { "connected  2", 'host       ""', "role       master" })
  end)

  it("shows a list of scalars a line each", function()
    eq(lines { "a", "", term.null, 4 },
      { "a", '""', "NULL", "4", "(4 values)" })
    eq(lines({ "a", "b", "c" }, { cap = 1 }), { "a", "(3 values, 1 shown)" })
  end)

  it("shows a scalar as it is", function()
    eq(lines(42), { "42" })
    eq(lines "x", { "x" })
    eq(lines(true), { "true" })
    eq(lines(term.null), { "NULL" })
  end)

  it("shows what has a __tostring by it", function()
    local v = setmetatable({}, { __tostring = function() return "me" end })
    eq(lines(v), { "me" })
    eq(lines { { a = v } }, { "a", "--", "me", "(1 row)" })
  end)

  it("refuses options it doesn't know", function()
    raises("unknown option 'colour'", function()
      tab.format({}, { colour = true })
    end)
    raises("option 'cap'", function() tab.format({}, { cap = -1 }) end)
    raises("option 'width'", function() tab.format({}, { width = "x" }) end)
    raises("option 'columns'", function() tab.format({}, { columns = "x" }) end)
  end)
end)

describe("table.format expanded", function()
  local rows = { { id = 1, q = "select 1\n  from t" }, { id = 2, q = ("x"):rep(25) } }

  it("has a line a field, and what is long or has lines is whole", function()
    eq(lines(rows, { expanded = "on", width = 14 }), {
      "-- row 1 --", "id  1", "q   select 1", "      from t",
      "-- row 2 --", "id  2", "q   xxxxxxxxxx", "    xxxxxxxxxx", "    xxxxx",
      "(2 rows)",
    })
    eq(lines({ a = ("y"):rep(12) }, { expanded = "on", width = 10 }),
      { "a  yyyyyyy", "   yyyyy" })
    eq(lines({ { a = "日本日本" } }, { expanded = "on", width = 10 }),
      { "-- row 1 --", "a  日本日", "   本", "(1 row)" })
  end)

  it("stops after many lines of one value, and says how much it is", function()
    local out = lines({ { a = ("x\n"):rep(100000) } },
      { expanded = "on", width = 40 })
    eq(#out, 203)
    eq(out[202], "   … (200,000 bytes in all)")
  end)

  it("isn't taken when it is off", function()
    local out = lines(rows, { expanded = "off", width = 8 })
    eq(out[1], "id  q")
    eq(#out, 5)
  end)

  it("refuses another word", function()
    raises("option 'expanded' must be", tab.format, {}, { expanded = true })
  end)
end)

describe("table.each", function()
  it("gives whole lines in pieces, until it is told to stop", function()
    local rows = {}
    for i = 1, 2500 do rows[i] = { n = i, text = i == 2400 and "longer" or "a" } end
    local parts = {}
    tab.each(rows, { width = false }, function(text) parts[#parts + 1] = text end)
    eq(#parts, 4)
    for _, part in ipairs(parts) do eq(part:sub(-1), "\n") end
    eq(select(2, table.concat(parts):gsub("\n", "")), 2503)
    ok(parts[3]:find("2400  longer\n", 1, true))
    local n = 0
    tab.each(rows, { width = false }, function() n = n + 1; return false end)
    eq(n, 1)
    n = 0
    tab.each({ ("x"):rep(3), "y" }, { width = false, cap = 1 },
      function() n = n + 1; return false end)
    eq(n, 1)
  end)

  it("says how the rest is seen", function()
    local rows = {}
    for i = 1, 1000000 do rows[i] = "v" end
    local parts = {}
    tab.each(rows, { width = false, cap = 1, more = ":set rows N" },
      function(text) parts[#parts + 1] = text end)
    eq(parts, { "v\n", "… 999,999 more values (1,000,000 in all); :set rows N\n" })
  end)

  it("touches only the rows that are shown", function()
    local rows = setmetatable({}, { __index = function(_, k)
      return k <= 3 and { n = k } or error "a row too many"
    end, __len = function() return 1000000 end })
    rawset(rows, 1, { n = 1 })
    rawset(rows, 2, { n = 2 })
    eq(#lines(rows, { cap = 2 }), 5)
  end)
end)

describe("a list with __rows", function()
  it("is what it says it is", function()
    local list = setmetatable({ 1, 2, 3 }, { __rows = function(l, most)
      local rows = {}
      for i = 1, math.min(#l, most) do rows[i] = { b = l[i], a = -l[i], c = 0 } end
      return rows, { "b", "a" }
    end })
    eq(lines(list, { cap = 2 }), { "b   a", "-  --", "1  -1", "2  -2",
      "(3 rows, 2 shown)" })
    eq(lines(list, { columns = { "a" } })[1], " a")
    eq(lines(setmetatable({}, getmetatable(list))), { "(0 rows)" })
  end)
end)

describe("table.value", function()
  local value = require "opsh.table.value"

  it("tells bytes from text", function()
    for _, s in ipairs { "", "abc", "日本", "caf\xe9", "a\tb\n", "a\27[0m" } do
      eq(value.is_binary(s), false, s)
    end
    for _, s in ipairs { "\0", "a\0b", "\xff\xfe\x80\x81", "\x89PNG\r\n\x1a\n\0" } do
      eq(value.is_binary(s), true, s)
    end
    eq(value.is_binary(("日"):rep(600)), false)
    eq(lines { { v = "a\0b" }, { v = "\0" } },
      { "v", "------------------", "\\x610062 (3 bytes)", "\\x00 (1 byte)",
        "(2 rows)" })
    local out = lines { ("\0"):rep(5000) }
    ok(out[1]:find("… (5000 bytes)", 1, true), out[1])
  end)

  it("takes the order that a list says by its metatable, without empty columns",
    function()
    local rows = setmetatable({ { b = 1, a = 2, other = 3 }, { b = 4 } },
      { __columns = { "b", "none", "a" } })
    eq(lines(rows), { "b  a", "-  -", "1  2", "4", "(2 rows)" })
    eq(lines(setmetatable({ { x = 1 } }, { __columns = { "y" } }))[1], "x")
  end)

  it("puts quotes where a text could be another value", function()
    for _, s in ipairs { "", "nil", "NULL", "true", "false", " a", "a ", '"a"' } do
      eq(value.ambiguous(s), true, s)
      eq(value.render(s), '"' .. s .. '"')
    end
    eq(value.ambiguous "a b", false)
    eq(value.render { "a, b", "1", 1, "x", { k = "y=z" } },
      '{"a, b", "1", 1, x, {k="y=z"}}')
  end)

  it("goes on when a __tostring fails", function()
    local bad = setmetatable({}, { __tostring = function() error "no" end })
    eq(value.text_of(bad), "<table that can't be printed>")
    eq(lines { { v = bad } }[3], "<table that can't be printed>")
    eq(value.has_tostring(bad), true)
    eq(value.has_tostring {}, false)
    eq(value.is_map(bad), false)
    eq(value.is_map {}, true)
    eq(value.is_list { 1, 2 }, true)
    eq(value.is_list { 1, x = 2 }, false)
    eq(value.has_meta({}, "__len"), false)
    eq(value.grouped(-1234567), "-1,234,567")
    eq(value.grouped "inf", "inf")
    eq(value.grouped(100), "100")
    eq(value.sorted_keys { b = 1, a = 1, [2] = 1, [1] = 1 }, { 1, 2, "a", "b" })
  end)
end)
