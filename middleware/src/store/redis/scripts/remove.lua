-- Forgets an upload, unless it has come to belong to another server.
--
-- KEYS: upload, chunks
-- ARGV: fence, server
if server == ARGV[2] then
  redis.call('DEL', KEYS[1], KEYS[2])
end
return {'ok'}
