-- 0003 labels of one model: a label may name its model, and one that does not match its prediction is kept apart.
-- Kind: expand. Locks: none. Undo: DROP COLUMN of each; the views of 0002.

ALTER TABLE labels
    ADD COLUMN IF NOT EXISTS named_model LowCardinality(String) COMMENT 'Model that the label names; empty when it names none' AFTER predicted_at,
    ADD COLUMN IF NOT EXISTS rejected LowCardinality(String) COMMENT 'Why the label does not match: empty, unknown_class, wrong_kind, unusable_number, ambiguous; empty text when it does' AFTER named_model;

ALTER TABLE label_matches
    ADD COLUMN IF NOT EXISTS named_model LowCardinality(String) COMMENT 'Model that the label names; empty when it names none' AFTER predicted_at,
    ADD COLUMN IF NOT EXISTS rejected LowCardinality(String) COMMENT 'Why the label does not match: empty, unknown_class, wrong_kind, unusable_number, ambiguous; empty text when it does' AFTER named_model;

CREATE OR REPLACE VIEW v_matched AS
SELECT *, toUInt64(0) AS pass FROM labels WHERE matched = 1
UNION ALL
SELECT * FROM label_matches
COMMENT 'Labels joined with their prediction, also rejected ones; pass is the round of a late join, 0 for labels joined on arrival';

CREATE OR REPLACE VIEW v_labelled AS
SELECT
    p.prediction_id AS prediction_id, p.workspace AS workspace, p.model AS model, p.model_version AS model_version,
    p.model_digest AS model_digest, p.route AS route, p.variant AS variant, p.feature_schema_id AS feature_schema_id,
    p.num_features AS num_features, p.cat_features AS cat_features, p.class AS class, p.score AS score,
    p.scores AS scores, l.label AS label, l.value AS value,
    if(p.class IS NULL OR l.label IS NULL, NULL, toUInt8(p.class != l.label)) AS wrong,
    if(p.class IS NULL, abs(p.score - coalesce(l.value, toFloat64OrNull(trim(l.label)))), NULL) AS absolute_error,
    p.occurred_at AS predicted_at, l.labelled_at AS labelled_at
FROM predictions AS p
ANY INNER JOIN (
    SELECT workspace, model, prediction_id, assumeNotNull(min(predicted_at)) AS predicted_at,
        tupleElement(argMax(tuple(label), (occurred_at, received_at, _offset)), 1) AS label,
        tupleElement(argMax(tuple(value), (occurred_at, received_at, _offset)), 1) AS value,
        max(occurred_at) AS labelled_at
    FROM v_matched WHERE rejected = '' GROUP BY workspace, model, prediction_id
) AS l ON p.workspace = l.workspace AND p.model = l.model AND p.prediction_id = l.prediction_id
    AND p.occurred_at = l.predicted_at
WHERE p.status = 'ok' AND p.variant != 'shadow'
COMMENT 'One row per labelled prediction of any task, with its latest label that matches';

CREATE OR REPLACE VIEW v_quality_hourly AS
SELECT model, model_version, variant, toStartOfHour(predicted_at) AS hour,
    countIf(wrong IS NOT NULL) AS labelled, countIf(wrong = 0) AS right, if(labelled = 0, NULL, right / labelled) AS accuracy,
    countIf(absolute_error IS NOT NULL) AS labelled_values, avg(absolute_error) AS mean_absolute_error,
    sqrt(avg(absolute_error * absolute_error)) AS root_mean_squared_error
FROM v_labelled GROUP BY model, model_version, variant, hour
COMMENT 'Accuracy of classifiers and errors of regressions by hour of the prediction, over labelled rows';
