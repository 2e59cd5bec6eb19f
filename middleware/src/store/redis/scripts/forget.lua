-- Forgets an upload that somebody told of who is gone.
--
-- KEYS: upload, chunks
-- ARGV: the fence under which that was told
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then
  return {'told again'}
end
redis.call('DEL', KEYS[1], KEYS[2])
return {'ok'}
