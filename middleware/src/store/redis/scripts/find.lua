-- All that was told of an upload.
--
-- KEYS: upload, chunks
return {redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]) or ''}
