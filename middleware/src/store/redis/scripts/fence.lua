-- Whose an upload is: what every script begins with that states something of one.
--
-- KEYS: upload, ...
-- ARGV: fence, server, ...
local known = redis.call('HMGET', KEYS[1], 'fence', 'server', 'url', 'revision', 'state', 'claim')
local fence, server, url, revision, state, claim = unpack(known)
fence = tonumber(fence or '')
local mine = tonumber(ARGV[1])
if fence and (fence > mine or (fence == mine and server ~= ARGV[2])) then
  return {'elsewhere', server, url or ''}
end

