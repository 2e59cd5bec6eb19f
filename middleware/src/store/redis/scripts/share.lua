-- States what the uploads of an owner take on one server, unless all servers together would be above
-- the bound.
--
-- KEYS: owner
-- ARGV: server, fence, version, sessions, bytes, bound of sessions, bound of bytes (0 = none),
--       for how long a statement counts (ms), whether the server has counted all it has
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local sessions, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local newest, stands = true, false
local earlier_sessions, earlier_bytes = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local fence, version, its_sessions, its_bytes, stated =
    string.match(all[at + 1], '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  fence, version = tonumber(fence), tonumber(version)
  stands = stands or all[at] == ARGV[1]
  if not fence or now - tonumber(stated) > tonumber(ARGV[8]) then
    redis.call('HDEL', KEYS[1], all[at])
  elseif all[at] ~= ARGV[1] then
    sessions = sessions + tonumber(its_sessions)
    bytes = bytes + tonumber(its_bytes)
  elseif fence > tonumber(ARGV[2])
    or (fence == tonumber(ARGV[2]) and version > tonumber(ARGV[3])) then
    -- What was stated later includes what is stated now.
    newest = false
    sessions = sessions - tonumber(ARGV[4]) + tonumber(its_sessions)
    bytes = bytes - tonumber(ARGV[5]) + tonumber(its_bytes)
  elseif fence < tonumber(ARGV[2]) and ARGV[9] == '0' then
    -- What an earlier process had, this one is still counting: it stands until that is done.
    newest = false
    earlier_sessions, earlier_bytes = tonumber(its_sessions), tonumber(its_bytes)
  end
end
local function is_above(sessions, bytes)
  local bound_of_sessions, bound_of_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
  return (bound_of_sessions > 0 and sessions > bound_of_sessions)
    or (bound_of_bytes > 0 and bytes > bound_of_bytes)
end
-- All of what is stated now may be among what was stated earlier, or nothing of it.
if is_above(sessions + math.max(0, earlier_sessions - tonumber(ARGV[4])),
  bytes + math.max(0, earlier_bytes - tonumber(ARGV[5]))) then
  return {'full'}
end
if is_above(sessions + earlier_sessions, bytes + earlier_bytes) then
  return {'unsure'}
end
-- Nothing is a statement as well: what comes late must not stand in its place.
if newest and (stands or ARGV[4] ~= '0') then
  local stated = table.concat({ARGV[2], ARGV[3], ARGV[4], ARGV[5], string.format('%d', now)}, ' ')
  redis.call('HSET', KEYS[1], ARGV[1], stated)
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
end
return {'ok'}
