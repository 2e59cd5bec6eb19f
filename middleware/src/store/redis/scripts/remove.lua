-- Forgets an upload, unless it has come to belong to a server that began later.
--
-- KEYS: upload, chunks
-- ARGV: fence
local fence = redis.call('HGET', KEYS[1], 'fence')
if not fence or tonumber(fence) <= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1], KEYS[2])
end
return {'ok'}
