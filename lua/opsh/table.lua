-- table: results as text. Rows become a table, maps and lists of scalars a
-- column or two. Every cell is masked and escaped before it is measured, so a
-- secret can't be taken apart by the layout. Returns text; writes nothing.
local term = require "opsh.c.term"

local M = {}

local ELLIPSIS <const> = "…"
local MIN_WIDTH <const> = 6 -- a column narrower than this tells nothing
local ROWS_ON_TTY <const> = 200
local NESTED_ITEMS <const> = 20
local NESTED_DEPTH <const> = 3
local GAP <const> = "  "

local OPTIONS <const> = {
  cap = true, columns = true, style = true, width = true,
}

-- --- values -----------------------------------------------------------------

local render

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    local ta, tb = math.type(a), math.type(b)
    if ta and tb then return a < b end
    if (ta == nil) ~= (tb == nil) then return ta ~= nil end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function is_list(t)
  local n = #t
  if n == 0 then return next(t) == nil end
  for k in pairs(t) do
    if math.type(k) ~= "integer" or k < 1 or k > n then return false end
  end
  return true
end

local function has_tostring(v)
  local mt = debug.getmetatable(v)
  return type(mt) == "table" and mt.__tostring ~= nil
end

local function render_nested(t, depth, seen)
  if has_tostring(t) then return tostring(t) end
  if seen[t] or depth > NESTED_DEPTH then return "{…}" end
  seen[t] = true
  local parts, list = {}, is_list(t)
  for i, k in ipairs(sorted_keys(t)) do
    if i > NESTED_ITEMS then
      parts[#parts + 1] = ELLIPSIS
      break
    end
    local text = render(t[k], depth + 1, seen)
    if not list then text = tostring(k) .. "=" .. text end
    parts[#parts + 1] = text
  end
  seen[t] = nil
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- A string that could be taken for a NULL, for nothing, or for the spaces of
-- the layout is shown in quotes.
local function quoted(s)
  if s == "" or s == "NULL" or s:find "^%s" or s:find "%s$" or
      s:find '^".*"$' then
    return '"' .. s .. '"'
  end
  return s
end

function render(v, depth, seen)
  local kind = type(v)
  if v == nil then return depth > 0 and "nil" or "" end
  if v == term.null then return "NULL" end
  if kind == "string" then return quoted(v) end
  if kind == "number" or kind == "boolean" then return tostring(v) end
  if kind == "table" then return render_nested(v, depth, seen) end
  if has_tostring(v) then return tostring(v) end
  return kind -- an address would differ from run to run
end

-- The shown text of a value, whole, and its width in columns.
local function cell(v) return term.cell(render(v, 0, {})) end

-- An object of C that stands for a table says so by its metamethods; one that
-- doesn't (a secret) is a value.
local function has_meta(v, name)
  local mt = type(v) == "userdata" and debug.getmetatable(v)
  return type(mt) == "table" and mt[name] ~= nil
end

local function is_map(v)
  if type(v) == "table" then return not has_tostring(v) end
  return has_meta(v, "__pairs")
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
  for i, k in ipairs(sorted_keys(seen)) do
    out[i] = { key = k, title = tostring(k) }
  end
  return out
end

local function find_columns(rows, shown, opts)
  local names = opts.columns or (type(rows) == "userdata" and rows.columns)
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

-- Fills col.text, col.widths, col.width and col.right.
local function measure(col, rows, shown)
  local title, width = term.cell(col.title)
  col.head, col.head_width = title, width
  col.text, col.widths = {}, {}
  local numbers, others = 0, 0
  for i = 1, shown do
    local v = rows[i][col.key]
    local text, w = cell(v)
    col.text[i], col.widths[i] = text, w
    if w > width then width = w end
    if type(v) == "number" then
      numbers = numbers + 1
    elseif v ~= nil and v ~= term.null then
      others = others + 1
    end
  end
  col.width = width
  col.right = numbers > 0 and others == 0
end

-- --- layout -----------------------------------------------------------------

-- The widest columns give way first, all to one width; numbers never do, as a
-- number cut short is another number. False when MIN_WIDTH is too much.
local function fit(cols, width)
  local room = width - (#cols - 1) * #GAP
  local order, least = {}, 0
  for _, c in ipairs(cols) do
    if c.right then
      room = room - c.width
    else
      order[#order + 1] = c
      least = least + math.min(c.width, MIN_WIDTH)
    end
  end
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

local function rows_line(n, shown, noun)
  local text = ("(%d %s%s"):format(n, noun or "row", n == 1 and "" or "s")
  if shown < n then text = ("%s, %d shown"):format(text, shown) end
  return text .. ")"
end

-- Our own text, as it is or, when the caller writes it with term.ours, styled.
local function styled(opts, name, text)
  return opts.style and term.style(name, text) or text
end

-- Too many columns for the width: one line a field, a rule a row.
local function vertical(cols, n, shown, width, opts)
  local lines, names = {}, 0
  for _, c in ipairs(cols) do names = math.max(names, c.head_width) end
  names = math.min(names, math.max(MIN_WIDTH, width // 2))
  local room = math.max(MIN_WIDTH, width - names - #GAP)
  for i = 1, shown do
    lines[#lines + 1] = styled(opts, "muted", ("-- row %d --"):format(i))
    for _, c in ipairs(cols) do
      local name, w = cut(c.head, c.head_width, names)
      local text = cut(c.text[i], c.widths[i], room)
      lines[#lines + 1] = (pad(name, w, names) .. GAP .. text):gsub(" +$", "")
    end
  end
  lines[#lines + 1] = rows_line(n, shown)
  return lines
end

local function format_rows(rows, n, shown, opts, width)
  local cols = find_columns(rows, shown, opts)
  for _, c in ipairs(cols) do measure(c, rows, shown) end
  if #cols == 0 then return { rows_line(n, shown) } end
  if width and not fit(cols, width) then
    return vertical(cols, n, shown, width, opts)
  end
  local head, rule = head_of(cols)
  local lines = { styled(opts, "title", head), rule }
  for i = 1, shown do lines[#lines + 1] = line_of(cols, i) end
  lines[#lines + 1] = rows_line(n, shown)
  return lines
end

-- A list that holds anything but rows: one value a line.
local function format_list(list, n, shown, width)
  local lines = {}
  for i = 1, shown do
    local text = render(list[i], 0, {})
    lines[i] = (term.cell(text, width or nil))
  end
  lines[#lines + 1] = rows_line(n, shown, "value")
  return lines
end

local function format_map(map, width, cap)
  local keys, names, shown = sorted_keys(map), 0, {}
  local n = math.min(#keys, cap)
  for i = 1, n do
    local text, w = cell(tostring(keys[i]))
    shown[i] = { text, w }
    names = math.max(names, w)
  end
  if width then names = math.min(names, math.max(MIN_WIDTH, width // 2)) end
  local lines = {}
  for i = 1, n do
    local name, w = cut(shown[i][1], shown[i][2], names)
    local room = width and math.max(MIN_WIDTH, width - names - #GAP)
    local text = term.cell(render(map[keys[i]], 0, {}), room or nil)
    lines[i] = (pad(name, w, names) .. GAP .. text):gsub(" +$", "")
  end
  if n < #keys then lines[n + 1] = rows_line(#keys, n, "field") end
  return lines
end

-- --- what callers see -------------------------------------------------------

local function check_options(opts)
  for k in pairs(opts) do
    if not OPTIONS[k] then
      error(("unknown option '%s' (known: cap, columns, style, width)")
        :format(tostring(k)), 3)
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
end

local function all_maps(list, shown)
  for i = 1, shown do
    if not is_map(list[i]) then return false end
  end
  return true
end

-- The lines of any value.
local function lines_of(v, opts, width, cap)
  if not has_meta(v, "__len") then
    if not is_map(v) then
      return { (term.cell(render(v, 0, {}), width or nil)) }
    end
    if type(v) == "userdata" or not is_list(v) then
      return format_map(v, width, cap)
    end
  end
  local n = #v
  local shown = math.min(n, cap)
  if n == 0 then return { rows_line(0, 0) } end
  if all_maps(v, shown) then return format_rows(v, n, shown, opts, width) end
  return format_list(v, n, shown, width)
end

-- Formats a result for people.
--
-- A list of tables (or a result object with `#` and `columns`) is a table with
-- a header; numbers stand at the right. A list of anything else is a column, a
-- map is two. `NULL` is opsh.null, an empty cell is nil, `""` is the empty
-- string. Numbers are never cut; a row that can't fit is shown field by field.
--
-- Example: term.write(1, table.format({ { key = "a", ttl = 5 } }))
---@param rows any
---@param opts? {columns?: (string|{key: any, title: string?})[], cap?: integer, width?: integer|false, style?: boolean}
---  columns: which, in this order (default: all, by name);
---  cap: rows shown at most (default: 200 on a terminal, else all);
---  width: columns of the screen (default: the terminal's; false: no limit);
---  style: a styled header, for term.ours (default: none, for term.write)
---@return string text whole lines
function M.format(rows, opts)
  opts = opts or {}
  check_options(opts)
  local tty = term.is_tty(1)
  local width = opts.width
  if width == nil then width = tty and term.columns() end
  local cap = opts.cap or (tty and ROWS_ON_TTY or math.maxinteger)
  local lines = lines_of(rows, opts, width, cap)
  if #lines == 0 then return "" end
  return table.concat(lines, "\n") .. "\n"
end

return M
