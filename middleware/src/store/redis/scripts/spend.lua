-- Uses up what may be used once, if nobody has; answers since when it is known what was used, and
-- whether it was still to be had. Run again after its reply was lost it says that it was not:
-- whoever asks cannot know either.
--
-- What is used was made at some time, and can be used for as long as the most patient server has it. It
-- is remembered until then, by the clock of Redis, and a minute longer: clocks differ.
--
-- KEYS: what is known, what is used up
-- ARGV: which run of Redis this is, for how long it can be used (s), when it was made (s)
local now, patience = tonumber(redis.call('TIME')[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'run', 'since', 'patience')
local since, before = tonumber(known[2]), tonumber(known[3])
if known[1] ~= ARGV[1] then
  -- Nothing, or what an earlier run had written some time before it ended.
  since, before = now + 1, patience
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'since', since, 'patience', before)
elseif patience > before then
  -- What was forgotten by then could be used again.
  since, before = math.max(since, now - before), patience
  redis.call('HSET', KEYS[1], 'since', since, 'patience', before)
end
local keep = math.max(tonumber(ARGV[3]) + before - now, 0) + 60
local is_new = redis.call('SET', KEYS[2], '', 'NX', 'EX', keep)
return {math.max(since, now - before), is_new and 1 or 0}
