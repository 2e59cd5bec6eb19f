-- The server that made the upload of a create request that may be repeated; this one, where there
-- was none.
--
-- KEYS: request
-- ARGV: server, time to live (ms)
local at = redis.call('GET', KEYS[1])
if not at then
  at = ARGV[1]
  redis.call('SET', KEYS[1], at)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {at}
