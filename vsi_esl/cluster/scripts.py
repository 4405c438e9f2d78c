"""What is done on the Redis server in one step, all of it: Lua, run there by its SHA-1 (EVALSHA).

Each takes its keys as KEYS, as the documentation of EVAL asks. They take several keys without a common hash
tag, so a Redis Cluster is not for them: one server, or one with replicas and Sentinels.
"""

from __future__ import annotations

import hashlib
from functools import cache

from .command_scripts import COMMAND_SCRIPTS
from .event_scripts import EVENT_SCRIPTS
from .state_scripts import STATE_SCRIPTS

SCRIPTS: dict[str, str] = {
    **EVENT_SCRIPTS,
    **COMMAND_SCRIPTS,
    **STATE_SCRIPTS,
    # KEYS: the service's key, that of all services; ARGV: its name, id, what it tells, milliseconds.
    # 0 when another with this name is there.
    "heartbeat": """
local there = redis.call('GET', KEYS[1])
if there and cjson.decode(there).id ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 86400000)
return 1
""",
    # KEYS: the service's key, that of all services; ARGV: its name, id
    "farewell": """
local there = redis.call('GET', KEYS[1])
if there and cjson.decode(there).id == ARGV[2] then redis.call('DEL', KEYS[1]) end
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
""",
    # KEYS: lease, fence, hand-over of each switch; ARGV: "name id", milliseconds, for each what the new
    # fence has to be above. For each the new fence, and 1 when it was handed over; nothing at all when one of
    # them is held by another.
    "take": """
for i = 1, #KEYS, 3 do
  local held = redis.call('GET', KEYS[i])
  if held and string.gsub(held, '^%d+ ', '') ~= ARGV[1] then return {} end
end
local answers = {}
for i = 1, #KEYS, 3 do
  local lease, counter, given = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local before = math.max(tonumber(redis.call('GET', counter) or '0'), tonumber(ARGV[2 + (i + 2) / 3]))
  local fence = string.format('%d', before + 1)
  local clean = redis.call('GET', given) == string.format('%d', before) and 1 or 0
  redis.call('SET', counter, fence)
  redis.call('SET', lease, fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
  redis.call('DEL', given)
  answers[#answers + 1] = tonumber(fence)
  answers[#answers + 1] = clean
end
return answers
""",
    # KEYS: lease and fence of each switch; ARGV: "name id", milliseconds, the fence of each.
    # For each 1, or 0 when it is another's. One that ran out and that nobody took is had again.
    "renew": """
local answers = {}
for i = 1, #KEYS / 2 do
  local lease, counter, fence = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 + i]
  local mine = fence .. ' ' .. ARGV[1]
  local held = redis.call('GET', lease)
  if held == mine then
    redis.call('PEXPIRE', lease, ARGV[2])
    answers[i] = 1
  elseif not held and tonumber(redis.call('GET', counter) or '0') <= tonumber(fence) then
    redis.call('SET', counter, fence)
    redis.call('SET', lease, mine, 'PX', ARGV[2])
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers
""",
    # KEYS: lease, hand-over; ARGV: "name id", fence, milliseconds for which the hand-over is remembered
    "give": """
if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
""",
    # KEYS: groups that are one; ARGV: the field of two of them, the service that is to have both. The note
    # that there is of them now (since when, and that service), and 1 when it is this one.
    "grow": """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then return {known, 0} end
local time = redis.call('TIME')
local note = time[1] .. string.format('%06d', time[2]) .. ' ' .. ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], note)
return {note, 1}
""",
    # KEYS: groups that are one; ARGV: the field of two of them, the note that was read.
    # 0 when there is another note of them by now.
    "part": """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and known ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
""",
}


@cache
def sha_of(script: str) -> str:
    """The name under which the server knows a script of this name."""
    return hashlib.sha1(SCRIPTS[script].encode(), usedforsecurity=False).hexdigest()
