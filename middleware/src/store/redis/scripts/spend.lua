-- Uses up what may be used once, if nobody has; answers since when it is known what was used, and
-- whether it was still to be had. Run again after its reply was lost it says that it was not:
-- whoever asks cannot know either.
--
-- KEYS: since when, what is used up
-- ARGV: how long it is remembered (ms)
local since = redis.call('GET', KEYS[1])
if not since then
  -- Redis may have lost what it knew within this second.
  since = redis.call('TIME')[1] + 1
  redis.call('SET', KEYS[1], since)
end
local is_new = redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[1])
return {tonumber(since), is_new and 1 or 0}
