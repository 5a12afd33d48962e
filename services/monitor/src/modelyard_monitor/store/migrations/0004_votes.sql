-- Votes of the members of an ensemble, compared with the label, so that weights can follow the labels.

ALTER TABLE labels
    ADD COLUMN IF NOT EXISTS votes Array(Tuple(version UInt32, digest String, weight Float64, drawn UInt8, wrong Nullable(UInt8), absolute_error Nullable(Float64))) COMMENT 'Members of the model that voted on the prediction, each compared with the label' CODEC(ZSTD(1)) AFTER rejected;

ALTER TABLE label_matches
    ADD COLUMN IF NOT EXISTS votes Array(Tuple(version UInt32, digest String, weight Float64, drawn UInt8, wrong Nullable(UInt8), absolute_error Nullable(Float64))) COMMENT 'Members of the model that voted on the prediction, each compared with the label' CODEC(ZSTD(1)) AFTER rejected;

CREATE OR REPLACE VIEW v_matched AS
SELECT *, toUInt64(0) AS pass FROM labels WHERE matched = 1
UNION ALL
SELECT * FROM label_matches
COMMENT 'Labels joined with their prediction, also rejected ones; pass is the round of a late join, 0 for labels joined on arrival';

CREATE OR REPLACE VIEW v_votes AS
SELECT workspace, model, prediction_id, predicted_at, occurred_at AS labelled_at, route, model_version AS lead_version,
    vote.version AS version, vote.digest AS digest, vote.weight AS weight, vote.wrong AS wrong, vote.absolute_error AS absolute_error,
    m.wrong AS answer_wrong, m.absolute_error AS answer_absolute_error
FROM v_matched AS m ARRAY JOIN votes AS vote
WHERE repeat = 0 AND rejected = ''
COMMENT 'One row per vote on a labelled prediction: what each member of an ensemble would have answered alone';

CREATE OR REPLACE VIEW v_member_quality_hourly AS
SELECT model, version, toStartOfHour(predicted_at) AS hour, count() AS votes, avg(weight) AS mean_weight,
    countIf(wrong IS NOT NULL) AS labelled, countIf(wrong = 0) AS right, if(labelled = 0, NULL, right / labelled) AS accuracy,
    if(labelled = 0, NULL, countIf(answer_wrong = 0) / labelled) AS accuracy_of_answers,
    avg(absolute_error) AS mean_absolute_error, avg(answer_absolute_error) AS mean_absolute_error_of_answers
FROM v_votes GROUP BY model, version, hour
COMMENT 'Quality of each member of an ensemble by hour of the prediction, beside that of the answers on the same rows';
