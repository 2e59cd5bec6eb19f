-- Says that a server is there; answers what others wish of it, and who is there.
--
-- KEYS: server, wishes, servers
-- ARGV: fence, id of its state directory, url, which secret it has, time to live (ms),
--       whether it has told of all its uploads, which run of Redis it uses, how often that has lost
--       everything, its name, whether there was something to lose
local known = redis.call('HMGET', KEYS[1], 'fence', 'id', 'told', 'run', 'lost', 'lost_at')
local fence, id, told, run, lost, lost_at = unpack(known)
local now = redis.call('TIME')[1]
local mine, loss = tonumber(ARGV[1]), tonumber(ARGV[8])
if fence and (tonumber(fence) > mine or (fence == ARGV[1] and id ~= ARGV[2])) then
  return {{'taken', ''}, {}, {}}
end
local state = 'known'
if not fence or run ~= ARGV[7] or (fence == ARGV[1] and lost and tonumber(lost) >= loss) then
  -- Until it counts one loss more: this answer may get lost as well.
  state, told, lost = 'lost', '', loss
  lost_at = ARGV[10] == '1' and now
elseif fence ~= ARGV[1] then
  -- What an earlier process told is there still.
  state, lost = 'new', false
end
if state ~= 'lost' and ARGV[6] == '1' then
  told = '1'
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'id', ARGV[2], 'url', ARGV[3], 'secret', ARGV[4],
  'told', told or '', 'run', ARGV[7], 'seen', now)
redis.call('HDEL', KEYS[1], 'lost', 'lost_at')
if lost then
  redis.call('HSET', KEYS[1], 'lost', lost)
end
if lost_at then
  redis.call('HSET', KEYS[1], 'lost_at', lost_at)
end
local since = lost_at and tostring(now - lost_at) or ''
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('SADD', KEYS[3], ARGV[9])
return {{state, since}, redis.call('SRANDMEMBER', KEYS[2], 16), redis.call('SMEMBERS', KEYS[3])}
