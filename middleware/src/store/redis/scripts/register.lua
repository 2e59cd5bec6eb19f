-- Tells how an upload stands, in place of what was told of it before.
--
-- KEYS: upload, chunks
-- ARGV: fence, server, revision, time to live (ms), chunks, then field, value, ...
local at = redis.call('HMGET', KEYS[1], 'fence', 'server', 'revision', 'url', 'state', 'claim')
if at[1] then
  local fence, mine = tonumber(at[1]), tonumber(ARGV[1])
  if fence > mine or (fence == mine and at[2] ~= ARGV[2]) then
    return {'elsewhere', at[2], at[4] or ''}
  end
  -- Something newer was told meanwhile.
  if fence == mine and tonumber(at[3]) > tonumber(ARGV[3]) then
    return {'ok'}
  end
  -- The other hands it over, or has: a log that was copied before knows less of that than was told.
  -- The same directory under another name does not.
  if at[2] ~= ARGV[2] then
    local state
    for field = 6, #ARGV, 2 do
      if ARGV[field] == 'state' then
        state = ARGV[field + 1]
      end
    end
    local is_older = tonumber(ARGV[3]) < tonumber(at[3])
    local is_handed_over = at[5] ~= 'receiving' or at[6]
    if is_handed_over and (is_older or state == 'receiving') then
      return {'elsewhere', at[2], at[4] or ''}
    end
  end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'server', ARGV[2], 'revision', ARGV[3], unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if #ARGV[5] > 0 then
  redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[4])
end
return {'ok'}
