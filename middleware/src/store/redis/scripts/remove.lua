-- Forgets an upload, unless it has come to belong to another server.
--
-- KEYS: upload, chunks
-- ARGV: fence, server
local at = redis.call('HMGET', KEYS[1], 'fence', 'server')
if at[1] and at[2] == ARGV[2] and tonumber(at[1]) <= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1], KEYS[2])
end
return {'ok'}
