"""What is done with the stream of events on the server, each in one step."""

from __future__ import annotations

from .state_scripts import WRITE_ROWS

# An entry is `CURSOR-MILLISECONDS`: cursors are counted by the deployment, without holes. Its members are the
# origin (who published it), its number there, its app_id and the event as clients see it; without the latter
# it stands for so many lost ones, as its app_id says.
ADD_EVENTS = (
    WRITE_ROWS
    + """
local last = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '-1')
if last ~= tonumber(ARGV[2]) then return {0, last, 0, 0} end
local cursor = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[3]))
local time = redis.call('TIME')
local behind = '-' .. string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local places = tonumber(ARGV[6])
local old = {2, last, 0, 0}
for i = 1, places do
  local fence = tonumber(ARGV[6 + i])
  if fence and tonumber(redis.call('GET', KEYS[4 + 2 * i]) or '0') > fence then old[#old + 1] = i end
end
if #old > 4 then return old end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[4], ARGV[4], ARGV[5] .. behind) end
local done = {1, 0, 0, 0}
local at = 8 + places
for i = 1, tonumber(ARGV[7 + places]) do
  local key = 3 + 2 * places + 3 * i
  local final = at + 2 + 2 * tonumber(ARGV[at + 2])
  if stale(KEYS[key + 1], ARGV[at]) then
    done[#done + 1] = i
  else
    write_rows(KEYS[key], KEYS[key + 2], ARGV[at], ARGV[at + 1], at + 3, final)
  end
  at = final + 1
end
local refused, bytes = 0, 0
for i = at, #ARGV, 5 do
  last = tonumber(ARGV[i])
  local place = tonumber(ARGV[i + 2])
  if place == 0 then
    refused = refused + 1
  else
    cursor = cursor + 1
    bytes = bytes + #ARGV[i + 4]
    local id = string.format('%d', cursor) .. behind
    redis.call('XADD', KEYS[1], id, 'o', ARGV[1], 's', ARGV[i], 'a', ARGV[i + 1], 'f', ARGV[i + 4])
    if ARGV[i + 3] ~= '' then
      local event = string.match(ARGV[i + 3], '^[^\\n]+')
      local webhook = string.format('%d', cursor) .. '\\n' .. ARGV[i + 3] .. '\\n' .. ARGV[i + 4]
      redis.call('HSET', KEYS[5 + 2 * place], event, webhook)
    end
  end
end
redis.call('SET', KEYS[2], string.format('%d', cursor))
redis.call('HSET', KEYS[3], ARGV[1], string.format('%d', last))
if bytes > 0 then redis.call('INCRBY', KEYS[5], bytes) end
done[2], done[3], done[4] = last, cursor, refused
return done
"""
)
"""KEYS: the stream, its cursor, the last number of each origin, what was told apart, the stream's bytes;
of each place that events are of, the fence of the switch and the outbox of its webhooks; of each switch whose
rows go along, its state, its fence, and where things are. ARGV: the origin; its last number there as it knows
it; the highest cursor that it has read; what it tells apart, or nothing: the field, and its value; how many
places, and the fence of each, or nothing; how many switches have rows, and of each its fence, its name, how
many changes, and these (see `state_scripts`); and of each event its number, app_id, which of the places, its
webhook or nothing (its id, and in another line who gets it), and itself. With 0 for the place it is passed
over.

Answers whether it was done (1), the origin's last number, the cursor, how many events were passed over, and
which switches' rows were not taken, each as it was counted, since they are another's by now. So rows are
there from the moment on in which what was told with them is, and not before.

Not done (0) is it when the numbers differ: an answer was lost, or the server has lost something. So nothing
is added twice, and an event that is in the stream is in the outbox as well. Nor is it (2) when places are
another service's by now, which are named then, each as it was counted: whoever knows that has to decide what
becomes of their events, and a command that arrives late must not have done so."""

TRIM_EVENTS = """
local over = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
local bytes = tonumber(redis.call('GET', KEYS[2]) or '0')
local time = redis.call('TIME')
local oldest = time[1] * 1000 - tonumber(ARGV[3])
local gone, size, upto = 0, 0, nil
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[4])) do
  local cursor, at = string.match(entry[1], '^(%d+)-(%d+)$')
  if gone >= over and bytes - size <= tonumber(ARGV[2]) and tonumber(at) >= oldest then break end
  gone, size, upto = gone + 1, size + #entry[2][8], tonumber(cursor)
end
if upto then
  redis.call('XTRIM', KEYS[1], 'MINID', string.format('%d-0', upto + 1))
  redis.call('SET', KEYS[2], string.format('%d', math.max(0, bytes - size)))
end
return gone
"""
"""KEYS: the stream, its bytes. ARGV: how many events and bytes it may have, how old (ms) they may be, and
how many to let go of at most. Answers how many went."""

CLAIM_OUTBOX = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if KEYS[2] == KEYS[3] then return 0 end
local moved = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if moved == tonumber(ARGV[4]) then break end
  redis.call('HSET', KEYS[3], field, redis.call('HGET', KEYS[2], field))
  redis.call('HDEL', KEYS[2], field)
  moved = moved + 1
end
return moved
"""
"""KEYS: whose each outbox is, an outbox, another. ARGV: the first one's place, who is to have it, who has
it, and how many webhooks are to go over to the other at most. Answers how many went; none when somebody
else has it."""

EVENT_SCRIPTS = {"add events": ADD_EVENTS, "trim events": TRIM_EVENTS, "claim outbox": CLAIM_OUTBOX}
