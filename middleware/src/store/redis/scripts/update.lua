-- Tells what was added to an upload. Once more, it changes nothing.
--
-- KEYS: upload, chunks
-- ARGV: fence, server, revision before, revision, time to live (ms), last chunk,
--       number of fields and values, field, value, ..., then chunk, bit, ...
if fence ~= mine then
  return {'unknown'}
end
revision = tonumber(revision)
if revision >= tonumber(ARGV[4]) then
  return {'ok'}
end
if revision ~= tonumber(ARGV[3]) then
  return {'unknown'}
end
local fields = tonumber(ARGV[7])
redis.call('HSET', KEYS[1], 'revision', ARGV[4], unpack(ARGV, 8, 7 + fields))
if redis.call('HGET', KEYS[1], 'state') == 'receiving' then
  redis.call('HDEL', KEYS[1], 'claim')
end
if #ARGV > 7 + fields then
  -- The whole length at once: a string that grows is given twice the room.
  if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('SETBIT', KEYS[2], ARGV[6], 0)
  end
  for at = 8 + fields, #ARGV, 2 do
    redis.call('SETBIT', KEYS[2], ARGV[at], ARGV[at + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {'ok'}
