-- Says that a server is there; answers what others wish of it, and who is there.
--
-- KEYS: server, wishes, servers
-- ARGV: fence, id of its state directory, url, which secret it has, time to live (ms),
--       whether it has told of all its uploads, whether it has said before that it is there,
--       whether Redis is another than before, its name
local at = redis.call('HMGET', KEYS[1], 'fence', 'id', 'told')
local told = ARGV[6]
if at[1] then
  local fence, mine = tonumber(at[1]), tonumber(ARGV[1])
  if fence > mine or (fence == mine and at[2] ~= ARGV[2]) then
    return {{'taken'}, {}, {}}
  end
  -- What an earlier process told is there still.
  if at[3] == '1' then
    told = '1'
  end
end
-- Everything has been lost, or something has.
if (not at[1] and ARGV[7] == '1') or ARGV[8] == '1' then
  told = '0'
end
local state = at[1] == ARGV[1] and ARGV[8] == '0' and 'known' or 'new'
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'id', ARGV[2], 'url', ARGV[3], 'secret', ARGV[4],
  'told', told, 'seen', now[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('SADD', KEYS[3], ARGV[9])
return {{state}, redis.call('SRANDMEMBER', KEYS[2], 16), redis.call('SMEMBERS', KEYS[3])}
