"""What services tell each other, each in one step on the server."""

from __future__ import annotations

# KEYS: when each service was here last, what it told; ARGV: our name, what we tell, ms after which one is
# gone. What those who are here told.
PRESENT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
if #gone > 0 then
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('ZREM', KEYS[1], unpack(gone))
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return redis.call('HVALS', KEYS[2])
"""

# KEYS: as above; ARGV: our name.
LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
"""

# KEYS: the inbox of a service, the request; ARGV: its id, what it says, ms for which it is good, how many may
# wait. 0 when too many do. What waits is the id: a request that is over is not there any more.
ASK = """
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
"""

# KEYS: the answers to a service; ARGV: the answer, how many may wait.
ANSWER = """
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
"""

# KEYS: the claim to make something; ARGV: our name. Another may have it by now: then it keeps it.
DISCLAIM = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

COMMAND_SCRIPTS = {
    "present": PRESENT,
    "leave": LEAVE,
    "ask": ASK,
    "answer": ANSWER,
    "disclaim": DISCLAIM,
}
