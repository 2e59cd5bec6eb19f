-- Says that a server is there, and answers what others wish of it.
--
-- KEYS: server, wishes
-- ARGV: fence, id of its state directory, url, which secret it has, time to live (ms)
local at = redis.call('HMGET', KEYS[1], 'fence', 'id')
if at[1] then
  local fence, mine = tonumber(at[1]), tonumber(ARGV[1])
  if fence > mine or (fence == mine and at[2] ~= ARGV[2]) then
    return {'taken'}
  end
end
local state = at[1] == ARGV[1] and 'known' or 'new'
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'id', ARGV[2], 'url', ARGV[3], 'secret', ARGV[4], 'seen', now[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {state, unpack(redis.call('SRANDMEMBER', KEYS[2], 16))}
