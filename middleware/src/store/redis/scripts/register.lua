-- Tells how an upload stands, in place of what was told of it before.
--
-- KEYS: upload, chunks
-- ARGV: fence, server, revision, time to live (ms), chunks, then field, value, ...

local new = {}
for field = 6, #ARGV, 2 do
  new[ARGV[field]] = ARGV[field + 1]
end
-- Something newer was told meanwhile, unless that was of another upload with this id, which is gone.
local is_same = fence and redis.call('HGET', KEYS[1], 'header') == new.header
if fence == mine and is_same and tonumber(revision) > tonumber(ARGV[3]) then
  return {'ok'}
end
-- The other hands it over, or has: a log that was copied before knows less of that than was told. The
-- same directory under another name does not.
if fence and server ~= ARGV[2] and (state ~= 'receiving' or claim) then
  if new.state == 'receiving' or tonumber(ARGV[3]) < tonumber(revision) then
    return {'elsewhere', server, url or ''}
  end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'server', ARGV[2], 'revision', ARGV[3], unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if #ARGV[5] > 0 then
  redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[4])
end
return {'ok'}
