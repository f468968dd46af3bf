-- table: results as text. Rows become a table, maps and lists of scalars a
-- column or two. Every cell is masked and escaped before it is measured, so a
-- secret can't be taken apart by the layout. Returns text; writes nothing.
local term = require "opsh.c.term"
local value = require "opsh.table.value"

local M = {}

local ELLIPSIS <const> = "…"
local MIN_WIDTH <const> = 6 -- a column narrower than this tells nothing,
local READABLE <const> = 10 -- and several of this width little
local ROWS_ON_TTY <const> = 200
local ROWS_AT_ONCE <const> = 1000 -- laid out together: memory for so many
local WHOLE_LINES <const> = 200 -- of one value, in the expanded view
local WHOLE_BYTES <const> = 65536
local GAP <const> = "  "

local OPTIONS <const> = {
  cap = true, columns = true, expanded = true, more = true, style = true,
  width = true,
}
local EXPANDED <const> = { auto = true, off = true, on = true }

-- --- values -----------------------------------------------------------------

-- The shown text of a value and its width in columns: no column is wider than
-- the screen.
local function cell(v, width) return term.cell(value.render(v), width or nil) end

-- In a row of C (of a database) nothing is NULL.
local function field(row, key)
  local v = row[key]
  if v == nil and type(row) == "userdata" then return term.null end
  return v
end

-- --- columns ----------------------------------------------------------------

-- opts.columns: names, or {key = , title = }.
local function columns_given(list)
  local out = {}
  for i, c in ipairs(list) do
    if type(c) ~= "table" then c = { key = c } end
    if c.key == nil then
      error(("column %d has no key"):format(i), 0)
    end
    out[i] = { key = c.key, title = tostring(c.title or c.key) }
  end
  return out
end

-- Rows that are lists: by position, named by opts.columns when given.
local function columns_by_position(rows, shown, names)
  local n, out = names and #names or 0, {}
  for i = 1, shown do
    for k in pairs(rows[i]) do
      if math.type(k) == "integer" and k > n then n = k end
    end
  end
  for i = 1, n do
    local name = names and names[i]
    if type(name) == "table" then name = name.title or name.key end
    out[i] = { key = i, title = tostring(name or i) }
  end
  return out
end

local function columns_by_name(rows, shown)
  local seen, out = {}, {}
  for i = 1, shown do
    for k in pairs(rows[i]) do
      if not seen[k] then seen[k] = true end
    end
  end
  for i, k in ipairs(value.sorted_keys(seen)) do
    out[i] = { key = k, title = tostring(k) }
  end
  return out
end

-- A list may say by its metatable (__columns) how it is read; those in which nothing
-- stands are left out.
local function columns_own(rows, shown)
  if type(rows) == "userdata" then return rows.columns end
  local meta = debug.getmetatable(rows)
  local own = type(meta) == "table" and rawget(meta, "__columns")
  if not own then return nil end
  local names = {}
  for _, name in ipairs(own) do
    for i = 1, shown do
      if rows[i][name] ~= nil then
        names[#names + 1] = name
        break
      end
    end
  end
  return names[1] and names
end

local function find_columns(rows, shown, opts)
  local names = opts.columns or columns_own(rows, shown)
  local by_position = type(rows[1]) == "table"
  for i = 1, shown do
    local row = rows[i]
    if type(row) ~= "table" or #row == 0 and next(row) ~= nil then
      by_position = false
      break
    end
  end
  if by_position then return columns_by_position(rows, shown, names) end
  if names then return columns_given(names) end
  return columns_by_name(rows, shown)
end

-- Fills col.text and col.widths of rows `from` to `to`; col.width and col.right
-- only grow and fall: rows that were laid out before keep their place.
local function measure(col, rows, from, to, width)
  local widest = col.width
  if not widest then
    col.head, col.head_width = term.cell(col.title)
    widest, col.others, col.numbers = col.head_width, 0, 0
  end
  col.text, col.widths = {}, {}
  for i = from, to do
    local v = field(rows[i], col.key)
    local text, w = cell(v, width)
    col.text[i], col.widths[i] = text, w
    if w > widest then widest = w end
    if type(v) == "number" then
      col.numbers = col.numbers + 1
    elseif v ~= nil and v ~= term.null then
      col.others = col.others + 1
    end
  end
  col.width = widest
  col.right = col.numbers > 0 and col.others == 0
end

-- --- layout -----------------------------------------------------------------

-- The widest columns give way first, all to one width; numbers never do, as a
-- number cut short is another number. False when too little would be left.
local function fit(cols, width)
  local room = width - (#cols - 1) * #GAP
  local order, least = {}, 0
  for _, c in ipairs(cols) do
    if c.right then
      room = room - c.width
    else
      order[#order + 1] = c
      least = least + math.min(c.width, READABLE)
    end
  end
  if #order == 1 then least = math.min(order[1].width, MIN_WIDTH) end
  if least > room then return false end
  table.sort(order, function(a, b) return a.width < b.width end)
  for i, c in ipairs(order) do
    local share = room // (#order - i + 1)
    if c.width > share then c.width = share end
    room = room - c.width
  end
  return true
end

local function pad(text, width, to, right)
  local blank = (" "):rep(to - width)
  return right and blank .. text or text .. blank
end

local function cut(text, width, to)
  if width <= to then return text, width end
  return term.cell(text, to)
end

local function line_of(cols, i)
  local parts = {}
  for k, c in ipairs(cols) do
    local text, w = cut(c.text[i], c.widths[i], c.width)
    parts[k] = pad(text, w, c.width, c.right)
  end
  return (table.concat(parts, GAP):gsub(" +$", ""))
end

local function head_of(cols)
  local names, rule = {}, {}
  for k, c in ipairs(cols) do
    local text, w = cut(c.head, c.head_width, c.width)
    names[k] = pad(text, w, c.width, c.right)
    rule[k] = ("-"):rep(c.width)
  end
  local head = table.concat(names, GAP):gsub(" +$", "")
  return head, table.concat(rule, GAP)
end

local function rows_line(n, shown, noun, more)
  noun = noun or "row"
  if more and shown < n then
    local rest = n - shown
    return ("… %s more %s%s (%s in all); %s"):format(value.grouped(rest), noun,
      rest == 1 and "" or "s", value.grouped(n), more)
  end
  local text = ("(%d %s%s"):format(n, noun, n == 1 and "" or "s")
  if shown < n then text = ("%s, %d shown"):format(text, shown) end
  return text .. ")"
end

-- Our own text, as it is or, when the caller writes it with term.ours, styled.
local function styled(opts, name, text)
  return opts.style and term.style(name, text) or text
end

-- As much of a line as fits.
local function beginning(line, room)
  if not room or term.width(line) <= room then return line end
  local part = term.cell(line, room + 1)
  if part == line then part = term.cell(line, room) end
  part = part:sub(1, -#ELLIPSIS - 1)
  return part == "" and line or part
end

-- A value over as many lines as it takes, its own lines kept.
local function whole(v, room)
  local text = term.mask(type(v) == "string" and #v > 0
    and not value.is_binary(v) and v or value.render(v))
  local lines, all = {}, #text
  if all > WHOLE_BYTES then text = text:sub(1, WHOLE_BYTES) end
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    line = term.escape((line:gsub("\t", "    ")))
    repeat
      local part = beginning(line, room)
      if #lines == WHOLE_LINES then
        lines[#lines + 1] = ("… (%s bytes in all)"):format(value.grouped(all))
        return lines
      end
      lines[#lines + 1] = part
      line = line:sub(#part + 1)
    until line == ""
  end
  if all > WHOLE_BYTES then
    lines[#lines + 1] = ("… (%s bytes in all)"):format(value.grouped(all))
  end
  return lines
end

-- A name and its value: cut to one line, or below each other.
local function add_field(lines, name, w, names, v, room, opts)
  local head = pad(name, w, names) .. GAP
  if opts.expanded ~= "on" then
    lines[#lines + 1] = (head .. (cell(v, room))):gsub(" +$", "")
    return
  end
  for _, text in ipairs(whole(v, room)) do
    lines[#lines + 1] = (head .. text):gsub(" +$", "")
    head = (" "):rep(names) .. GAP
  end
end

local function name_width(names, width)
  return width and math.min(names, math.max(MIN_WIDTH, width // 2)) or names
end

-- One line a field, a rule a row.
local function vertical(cols, rows, from, to, width, opts)
  local lines, names = {}, 0
  for _, c in ipairs(cols) do names = math.max(names, c.head_width) end
  names = name_width(names, width)
  local room = width and math.max(MIN_WIDTH, width - names - #GAP)
  for i = from, to do
    lines[#lines + 1] = styled(opts, "muted", ("-- row %d --"):format(i))
    for _, c in ipairs(cols) do
      local name, w = cut(c.head, c.head_width, names)
      add_field(lines, name, w, names, field(rows[i], c.key), room, opts)
    end
  end
  return lines
end

local function is_vertical(cols, width, opts)
  if opts.expanded == "on" then return true end
  return width and not fit(cols, width) and opts.expanded ~= "off"
end

-- Some rows at a time: emit(lines) is false when nobody reads on.
local function format_rows(rows, n, shown, opts, width, emit)
  local cols = find_columns(rows, shown, opts)
  local down
  for from = 1, #cols > 0 and math.max(shown, 1) or 0, ROWS_AT_ONCE do
    local to, lines = math.min(shown, from + ROWS_AT_ONCE - 1), {}
    for _, c in ipairs(cols) do measure(c, rows, from, to, width) end
    if from == 1 then
      down = is_vertical(cols, width, opts)
      if not down then
        local head, rule = head_of(cols)
        lines = { styled(opts, "title", head), rule }
      end
    elseif not down and width then
      fit(cols, width)
    end
    if down then
      lines = vertical(cols, rows, from, to, width, opts)
    else
      for i = from, to do lines[#lines + 1] = line_of(cols, i) end
    end
    if emit(lines) == false then return end
  end
  emit { rows_line(n, shown, nil, opts.more) }
end

-- A list that holds anything but rows: one value a line.
local function format_list(list, n, shown, opts, width, emit)
  for from = 1, shown, ROWS_AT_ONCE do
    local lines = {}
    for i = from, math.min(shown, from + ROWS_AT_ONCE - 1) do
      local v = list[i]
      lines[#lines + 1] = v == nil and "nil" or (cell(v, width))
    end
    if emit(lines) == false then return end
  end
  emit { rows_line(n, shown, "value", opts.more) }
end

-- The columns of a row of C stand in their own order.
local function map_keys(map)
  if type(map) == "table" then return value.sorted_keys(map) end
  local keys = {}
  for k in pairs(map) do keys[#keys + 1] = k end
  return keys
end

local function format_map(map, width, cap, opts)
  local keys, names, shown = map_keys(map), 0, {}
  local n = math.min(#keys, cap)
  for i = 1, n do
    local text, w = cell(value.text_of(keys[i]), width)
    shown[i] = { text, w }
    names = math.max(names, w)
  end
  names = name_width(names, width)
  local lines = {}
  local room = width and math.max(MIN_WIDTH, width - names - #GAP)
  for i = 1, n do
    local name, w = cut(shown[i][1], shown[i][2], names)
    add_field(lines, name, w, names, field(map, keys[i]), room, opts)
  end
  if n < #keys then
    lines[#lines + 1] = rows_line(#keys, n, "field", opts.more)
  end
  return lines
end

-- --- what callers see -------------------------------------------------------

local function check_options(opts)
  for k in pairs(opts) do
    if not OPTIONS[k] then
      error(("unknown option '%s' (known: cap, columns, expanded, more, "
        .. "style, width)"):format(tostring(k)), 3)
    end
  end
  local cap, width = opts.cap, opts.width
  if cap ~= nil and (math.type(cap) ~= "integer" or cap < 0) then
    error("option 'cap' must be an integer, 0 or more", 3)
  end
  if width and (math.type(width) ~= "integer" or width < 1) then
    error("option 'width' must be an integer above 0, or false", 3)
  end
  if opts.columns ~= nil and type(opts.columns) ~= "table" then
    error("option 'columns' must be a list of names", 3)
  end
  if opts.expanded ~= nil and not EXPANDED[opts.expanded] then
    error("option 'expanded' must be 'auto', 'on' or 'off'", 3)
  end
end

local function all_maps(list, shown)
  if type(list) == "userdata" and list.columns then return true end
  for i = 1, shown do
    if not value.is_map(list[i]) then return false end
  end
  return true
end

-- A list that says itself which rows stand for it: __rows(list, most) gives them
-- and their columns.
local function rows_said(v, meta, opts, width, cap, emit)
  local rows, columns = meta.__rows(v, cap)
  local own = setmetatable({ columns = opts.columns or columns },
    { __index = opts })
  if #v == 0 then return emit { rows_line(0, 0) } end
  return format_rows(rows, #v, #rows, own, width, emit)
end

-- The lines of any value, to emit.
local function lines_of(v, opts, width, cap, emit)
  local meta = type(v) == "table" and debug.getmetatable(v)
  if type(meta) == "table" and rawget(meta, "__rows") then
    return rows_said(v, meta, opts, width, cap, emit)
  end
  if not value.has_meta(v, "__len") then
    if not value.is_map(v) then return emit { (cell(v, width)) } end
    if type(v) == "userdata" or not value.is_list(v) then
      return emit(format_map(v, width, cap, opts))
    end
  end
  local n = #v
  local shown = math.min(n, cap)
  if n == 0 and not (value.has_meta(v, "__len") and v.columns) then
    return emit { rows_line(0, 0) }
  end
  if all_maps(v, shown) then
    return format_rows(v, n, shown, opts, width, emit)
  end
  format_list(v, n, shown, opts, width, emit)
end

-- Formats a result for people. A metamethod __rows(list, most) gives the rows and
-- the columns that stand for a list.
--
-- A list of tables (or a result object with `#` and `columns`) is a table with
-- a header; numbers stand at the right. A list of anything else is a column, a
-- map is two. `NULL` is opsh.null, an empty cell is nil, `""` is the empty
-- string. Numbers are never cut; a row that can't fit is shown field by field.
--
-- Example: term.write(1, table.format({ { key = "a", ttl = 5 } }))
---@param rows any
---@param opts? opsh.table.options
---@return string text whole lines
function M.format(rows, opts)
  local parts = {}
  opts = opts or {}
  check_options(opts)
  M.each(rows, opts, function(text) parts[#parts + 1] = text end)
  return table.concat(parts)
end

---@class opsh.table.options
---@field columns? (string|{key: any, title: string?})[] which, in this order
---@field cap? integer rows shown at most (default: 200 on a terminal, else all)
---@field width? integer|false columns of the screen (default: the terminal's; false: no limit)
---@field expanded? "auto"|"on"|"off" a line a field: when the columns don't fit;
---always, and values are not cut; never
---@field more? string how to see the rest, said where the cap has cut
---@field style? boolean a styled header, for term.ours (default: none, for term.write)

---As format, in pieces of whole lines: what is long takes little memory.
---@param rows any
---@param opts opsh.table.options
---@param emit fun(text: string): boolean? false: no more of it
function M.each(rows, opts, emit)
  check_options(opts)
  local tty = term.is_tty(1)
  local width = opts.width
  if width == nil then width = tty and term.columns() end
  local cap = opts.cap or (tty and ROWS_ON_TTY or math.maxinteger)
  lines_of(rows, opts, width, cap, function(lines)
    if #lines == 0 then return end
    return emit(table.concat(lines, "\n") .. "\n")
  end)
end

return M
