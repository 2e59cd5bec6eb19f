-- The server that made the upload of a create request that may be repeated; this one, where there
-- was none, or one whose upload is no more.
--
-- KEYS: request
-- ARGV: server, time to live (ms), the server whose upload is no more or nothing
local at = redis.call('GET', KEYS[1])
if not at or at == ARGV[3] then
  at = ARGV[1]
  redis.call('SET', KEYS[1], at)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {at}
