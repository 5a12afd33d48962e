-- 0002 views: for analysts, the trainer and the evaluator.
-- Kind: expand. Locks: none. Undo: DROP VIEW of each. Views may be replaced by a later migration.

CREATE OR REPLACE VIEW v_predictions AS
SELECT * FROM predictions ORDER BY status = 'ok' DESC, occurred_at LIMIT 1 BY workspace, model, prediction_id
COMMENT 'One row per prediction; an answer supersedes failed requests under the same id';

CREATE OR REPLACE VIEW v_matched AS
SELECT *, toUInt64(0) AS pass FROM labels WHERE matched = 1
UNION ALL
SELECT * FROM label_matches
COMMENT 'Labels joined with their prediction; pass is the round of a late join, 0 for labels joined on arrival';

CREATE OR REPLACE VIEW v_labelled AS
SELECT
    p.prediction_id AS prediction_id, p.workspace AS workspace, p.model AS model, p.model_version AS model_version,
    p.model_digest AS model_digest, p.route AS route, p.variant AS variant, p.feature_schema_id AS feature_schema_id,
    p.num_features AS num_features, p.cat_features AS cat_features, p.class AS class, p.score AS score,
    p.scores AS scores, l.label AS label, l.value AS value,
    if(p.class IS NULL OR l.label IS NULL, NULL, toUInt8(p.class != l.label)) AS wrong,
    if(p.class IS NULL, abs(p.score - l.value), NULL) AS absolute_error,
    p.occurred_at AS predicted_at, l.labelled_at AS labelled_at
FROM predictions AS p
ANY INNER JOIN (
    SELECT workspace, prediction_id,
        tupleElement(argMax(tuple(label), (occurred_at, received_at, _offset)), 1) AS label,
        tupleElement(argMax(tuple(value), (occurred_at, received_at, _offset)), 1) AS value,
        max(occurred_at) AS labelled_at
    FROM labels GROUP BY workspace, prediction_id
) AS l ON p.workspace = l.workspace AND p.prediction_id = l.prediction_id
WHERE p.status = 'ok' AND p.variant != 'shadow'
COMMENT 'One row per labelled prediction of any task, with its latest label';

CREATE OR REPLACE VIEW v_quality_hourly AS
SELECT model, model_version, variant, toStartOfHour(predicted_at) AS hour,
    countIf(wrong IS NOT NULL) AS labelled, countIf(wrong = 0) AS right, if(labelled = 0, NULL, right / labelled) AS accuracy,
    countIf(absolute_error IS NOT NULL) AS labelled_values, avg(absolute_error) AS mean_absolute_error,
    sqrt(avg(absolute_error * absolute_error)) AS root_mean_squared_error
FROM v_labelled GROUP BY model, model_version, variant, hour
COMMENT 'Accuracy of classifiers and errors of regressions by hour of the prediction, over labelled rows';

CREATE OR REPLACE VIEW v_timeline AS
SELECT correlation_id, occurred_at, recorded_at, topic, type, model, event_id, cause_id, payload
FROM events ORDER BY correlation_id, occurred_at, recorded_at, _offset LIMIT 1 BY event_id
COMMENT 'Every event of a timeline in order; filter by correlation_id';

CREATE OR REPLACE VIEW v_drift_psi AS
SELECT model, model_version, variant, kind, feature, hour,
    sum(current) AS rows, max(reference_rows) AS reference_rows, count() AS bins,
    sum((q - p) * log(q / p)) AS psi,
    (bins - 1) * (1 / rows + 1 / reference_rows) AS expected_without_drift
FROM (
    SELECT c.model AS model, c.model_version AS model_version, c.model_digest AS model_digest, c.variant AS variant,
        c.kind AS kind, c.feature AS feature, c.hour AS hour, c.bin AS bin, c.current AS current, r.n AS reference,
        sum(c.current) OVER w AS m, sum(r.n) OVER w AS reference_rows, count() OVER w AS b,
        (c.current + 0.5) / (m + 0.5 * b) AS q, (r.n + 0.5) / (reference_rows + 0.5 * b) AS p
    FROM (
        SELECT h.model AS model, h.model_version AS model_version, h.model_digest AS model_digest, h.variant AS variant,
            h.kind AS kind, h.feature AS feature, h.hour AS hour, r.bin AS bin, sumIf(h.n, h.bin = r.bin) AS current
        FROM (
            SELECT model, model_version, model_digest, variant, kind, feature, toStartOfHour(minute) AS hour, bin, sum(n) AS n
            FROM feature_bins GROUP BY model, model_version, model_digest, variant, kind, feature, hour, bin
        ) AS h
        INNER JOIN (SELECT model, model_version, model_digest, kind, feature, bin FROM reference_bins FINAL) AS r
            ON h.model = r.model AND h.model_version = r.model_version AND h.model_digest = r.model_digest
                AND h.kind = r.kind AND h.feature = r.feature
        GROUP BY model, model_version, model_digest, variant, kind, feature, hour, bin
    ) AS c
    INNER JOIN (SELECT model, model_version, model_digest, kind, feature, bin, n FROM reference_bins FINAL) AS r
        ON c.model = r.model AND c.model_version = r.model_version AND c.model_digest = r.model_digest
            AND c.kind = r.kind AND c.feature = r.feature AND c.bin = r.bin
    WHERE c.current + r.n > 0
    WINDOW w AS (PARTITION BY c.model, c.model_version, c.model_digest, c.variant, c.kind, c.feature, c.hour)
)
GROUP BY model, model_version, model_digest, variant, kind, feature, hour
COMMENT 'PSI per feature, score and classes by hour against the reference profile; compare with expected_without_drift';
