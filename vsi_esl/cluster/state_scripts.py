"""How rows of a switch's state are written on the server: by themselves, or in one step with events."""

from __future__ import annotations

WRITE_ROWS = """
-- a service whose fence is below the highest that was ever given has lost the switch
local function stale(key, fence)
  return tonumber(redis.call('GET', key) or '0') > tonumber(fence)
end
local function place(field)
  local kind, id = string.match(field, '^(%a+)|(.*)$')
  if kind == 'legs' then return 'leg/' .. id end
  if kind == 'rooms' then return 'room/' .. id end
end
local function leave(where, field, switch)
  local name = place(field)
  if name and redis.call('HGET', where, name) == switch then redis.call('HDEL', where, name) end
end
local function write_rows(state, where, fence, switch, first, last)
  for i = first, last, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    if value == '' then
      redis.call('HDEL', state, field)
      leave(where, field, switch)
    else
      redis.call('HSET', state, field, value)
      local name = place(field)
      if name then redis.call('HSET', where, name, switch) end
    end
  end
  redis.call('HSET', state, '#fence', fence)
end
"""
"""What both begin with. Of each change there is its field and its value (empty: delete) in ARGV."""

WRITE_STATE = (
    WRITE_ROWS
    + """
if stale(KEYS[2], ARGV[1]) then return 0 end
local first = 3
if ARGV[3] == '*' then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do leave(KEYS[3], field, ARGV[2]) end
  redis.call('DEL', KEYS[1])
  first = 5
end
write_rows(KEYS[1], KEYS[3], ARGV[1], ARGV[2], first, #ARGV)
return 1
"""
)
"""KEYS: the switch's state, its fence, where things are; ARGV: fence, the switch, then the changes. A first
field "*" stands for all that there was. 0 when the switch is another's by now."""

STATE_SCRIPTS = {"write state": WRITE_STATE}
