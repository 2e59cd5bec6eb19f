-- Claims the hand-off of an upload for a server: the one with the highest fence has it.
--
-- KEYS: upload
-- ARGV: fence, server
if fence ~= mine then
  return {'unknown'}
end
redis.call('HSET', KEYS[1], 'claim', ARGV[1])
return {'ok'}
