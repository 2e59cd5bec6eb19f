-- Claims the hand-off of an upload for a server: the one with the highest fence has it.
--
-- KEYS: upload
-- ARGV: fence, server
local at = redis.call('HMGET', KEYS[1], 'fence', 'server', 'url')
if not at[1] then
  return {'unknown'}
end
local fence, mine = tonumber(at[1]), tonumber(ARGV[1])
if fence > mine or (fence == mine and at[2] ~= ARGV[2]) then
  return {'elsewhere', at[2], at[3] or ''}
end
if fence < mine then
  return {'unknown'}
end
redis.call('HSET', KEYS[1], 'claim', ARGV[1])
return {'ok'}
