-- 0005 timelines: lists of timelines and alarms read the rows of their hours and of their correlation ids, and of
-- payloads at most those that are shown.
-- Kind: expand. Locks: none. Rows stored before have neither projection until parts merge or
-- ALTER TABLE events MATERIALIZE PROJECTION runs, and their `summary` is computed when it is read: slower, same answer.
-- Undo: DROP PROJECTION of each, then DROP COLUMN summary.

ALTER TABLE events
    ADD COLUMN IF NOT EXISTS summary String MATERIALIZED toJSONString(JSONExtract(payload, 'Tuple(reason Nullable(String), run_id Nullable(String), state Nullable(String), version Nullable(UInt32), evaluation_id Nullable(String), challenger_version Nullable(UInt32), verdict Nullable(String), rollout_id Nullable(String), to_version Nullable(UInt32), change Nullable(String), stage Nullable(String), kind Nullable(String), alert Nullable(String), severity Nullable(String))')) COMMENT 'Fields of the payload that lists of timelines and alarms need, as JSON' CODEC(ZSTD(1)) AFTER payload;

ALTER TABLE events
    ADD PROJECTION IF NOT EXISTS by_time (SELECT occurred_at, event_id, correlation_id, topic, model, summary ORDER BY occurred_at);

ALTER TABLE events
    ADD PROJECTION IF NOT EXISTS by_correlation (SELECT correlation_id, occurred_at, recorded_at, event_id, topic, model, summary, _offset ORDER BY correlation_id);
