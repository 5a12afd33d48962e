-- 0001 tables: predictions, labels, counts and control events. Edited in place until the first release, never after it.
-- Kind: expand. Locks: none. Undo: DROP TABLE of each.
-- Every table carries (_topic, _partition, _offset) and a deduplication window, so that anyone can check
-- count() = uniqExact(_topic, _partition, _offset) and a repeated insert of one offset range changes nothing.

CREATE TABLE IF NOT EXISTS predictions (
    event_id          String COMMENT 'Id of the log event' CODEC(ZSTD(1)),
    prediction_id     String COMMENT 'Id in the answer; labels refer to it' CODEC(ZSTD(1)),
    occurred_at       DateTime64(6, 'UTC') COMMENT 'When the router answered' CODEC(Delta(8), ZSTD(1)),
    received_at       DateTime64(6, 'UTC') COMMENT 'Kafka timestamp of the record' CODEC(Delta(8), ZSTD(1)),
    workspace         LowCardinality(String) COMMENT 'Workspace of the model',
    model             LowCardinality(String) COMMENT 'Reference of the model in the registry',
    model_version     UInt32 COMMENT 'Version that answered',
    model_digest      LowCardinality(String) COMMENT 'Digest of its manifest',
    route             LowCardinality(String) COMMENT 'Route of the request',
    route_sequence    UInt64 COMMENT 'Sequence of the route table that was applied',
    variant           LowCardinality(String) COMMENT 'stable, canary, shadow',
    rule              LowCardinality(Nullable(String)) COMMENT 'Rule of the route that matched',
    path              LowCardinality(String) COMMENT 'Steps of the route plan that led to the version',
    entity_key_hash   Nullable(String) COMMENT 'Hash of the entity key, for sticky assignment' CODEC(ZSTD(1)),
    feature_schema_id LowCardinality(Nullable(String)) COMMENT 'Contract that fixes the order of the features',
    num_features      Array(Nullable(Float64)) COMMENT 'Numeric features in the order of the contract' CODEC(ZSTD(1)),
    cat_features      Array(Nullable(String)) COMMENT 'Categorical features in the order of the contract' CODEC(ZSTD(1)),
    features_by_name  Map(LowCardinality(String), Float64) COMMENT 'Features of upstreams without a contract' CODEC(ZSTD(1)),
    class             LowCardinality(Nullable(String)) COMMENT 'Predicted class',
    score             Nullable(Float64) COMMENT 'Probability of the positive class, or the predicted value',
    scores            Array(Float64) COMMENT 'Score per class' CODEC(ZSTD(1)),
    text_length       Nullable(UInt64) COMMENT 'Characters of a text input',
    latency_ms        Float64 COMMENT 'First byte received to last byte sent',
    overhead_ms       Float64 COMMENT 'Share of the router in latency_ms',
    cost_usd          Float64 COMMENT 'Cost of the answer',
    status            LowCardinality(String) COMMENT 'ok, rejected, upstream_error, timeout, unavailable',
    attempts          Array(Tuple(path String, model String, version Int64, digest String, status String, latency_ms Float64, input_tokens Nullable(Int64), output_tokens Nullable(Int64), cost_usd Float64)) COMMENT 'Calls of versions in order; the last one answered' CODEC(ZSTD(1)),
    shadow_of         Nullable(String) COMMENT 'prediction_id that this answer shadows',
    sampled           UInt8 COMMENT '0 when features were left out by sampling',
    _topic            LowCardinality(String) COMMENT 'Kafka topic',
    _partition        UInt32 COMMENT 'Kafka partition',
    _offset           UInt64 COMMENT 'Kafka offset' CODEC(Delta(8), ZSTD(1)),
    INDEX by_prediction prediction_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset _offset TYPE minmax GRANULARITY 4
) ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (model, model_version, occurred_at)
TTL toDateTime(received_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every request for a prediction, exactly once per Kafka record';

ALTER TABLE predictions ADD COLUMN IF NOT EXISTS votes Array(Tuple(path String, model String, version Int64, digest String, weight Float64, class Nullable(String), score Nullable(Float64))) COMMENT 'Answers of the members of an ensemble; empty for other answers' CODEC(ZSTD(1)) AFTER sampled;

CREATE TABLE IF NOT EXISTS generations (
    event_id          String COMMENT 'Id of the log event' CODEC(ZSTD(1)),
    generation_id     String COMMENT 'Id in the answer' CODEC(ZSTD(1)),
    occurred_at       DateTime64(6, 'UTC') COMMENT 'When the stream ended' CODEC(Delta(8), ZSTD(1)),
    received_at       DateTime64(6, 'UTC') COMMENT 'Kafka timestamp of the record' CODEC(Delta(8), ZSTD(1)),
    workspace         LowCardinality(String) COMMENT 'Workspace of the model',
    model             LowCardinality(String) COMMENT 'Reference of the model in the registry',
    model_version     UInt32 COMMENT 'Version that answered',
    model_digest      LowCardinality(String) COMMENT 'Digest of its manifest',
    route             LowCardinality(String) COMMENT 'Route of the request',
    route_sequence    UInt64 COMMENT 'Sequence of the route table that was applied',
    variant           LowCardinality(String) COMMENT 'stable, canary, shadow',
    rule              LowCardinality(Nullable(String)) COMMENT 'Rule of the route that matched',
    path              LowCardinality(String) COMMENT 'Steps of the route plan that led to the version',
    entity_key_hash   Nullable(String) COMMENT 'Hash of the entity key, for sticky assignment' CODEC(ZSTD(1)),
    session_id        Nullable(String) COMMENT 'Session of the caller' CODEC(ZSTD(1)),
    prompt_name       LowCardinality(Nullable(String)) COMMENT 'Prompt in the registry',
    prompt_version    Nullable(UInt32) COMMENT 'Version of the prompt',
    feature_schema_id LowCardinality(Nullable(String)) COMMENT 'Id of the signature',
    input_characters  UInt64 COMMENT 'Characters of the input',
    output_characters UInt64 COMMENT 'Characters that were sent',
    input_tokens      Nullable(UInt64) COMMENT 'Tokens of the input, as the model server counts them',
    output_tokens     Nullable(UInt64) COMMENT 'Tokens that were generated',
    time_to_first_token_ms Nullable(Float64) COMMENT 'First byte received to first token sent',
    latency_ms        Float64 COMMENT 'First byte received to the end of the stream',
    overhead_ms       Float64 COMMENT 'Share of the router in latency_ms',
    cost_usd          Float64 COMMENT 'Cost of the answer',
    status            LowCardinality(String) COMMENT 'ok, rejected, upstream_error, timeout, unavailable, client_closed',
    finish_reason     LowCardinality(Nullable(String)) COMMENT 'stop, length; NULL when the stream was broken off',
    attempts          Array(Tuple(path String, model String, version Int64, digest String, status String, latency_ms Float64, input_tokens Nullable(Int64), output_tokens Nullable(Int64), cost_usd Float64)) COMMENT 'Calls of versions in order; the last one answered' CODEC(ZSTD(1)),
    text_policy       LowCardinality(String) COMMENT 'What the two texts hold: none, hash, redacted, full',
    input_text        Nullable(String) COMMENT 'Input by text_policy' CODEC(ZSTD(3)),
    output_text       Nullable(String) COMMENT 'Output by text_policy' CODEC(ZSTD(3)),
    _topic            LowCardinality(String) COMMENT 'Kafka topic',
    _partition        UInt32 COMMENT 'Kafka partition',
    _offset           UInt64 COMMENT 'Kafka offset' CODEC(Delta(8), ZSTD(1)),
    INDEX by_generation generation_id TYPE bloom_filter(0.01) GRANULARITY 4
) ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (model, model_version, occurred_at)
TTL toDateTime(received_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every generated answer, exactly once per Kafka record';

CREATE TABLE IF NOT EXISTS labels (
    event_id          String COMMENT 'Id of the feedback event' CODEC(ZSTD(1)),
    prediction_id     String COMMENT 'Prediction it is about' CODEC(ZSTD(1)),
    label             LowCardinality(Nullable(String)) COMMENT 'True class',
    value             Nullable(Float64) COMMENT 'True value of a regression',
    source            LowCardinality(String) COMMENT 'Where the label comes from',
    occurred_at       DateTime64(6, 'UTC') COMMENT 'When the true outcome became known' CODEC(Delta(8), ZSTD(1)),
    received_at       DateTime64(6, 'UTC') COMMENT 'Kafka timestamp of the record' CODEC(Delta(8), ZSTD(1)),
    workspace         LowCardinality(String) COMMENT 'Workspace; must be that of the prediction',
    matched           UInt8 COMMENT '1 when the prediction was stored at that time; later matches are in label_matches',
    repeat            UInt8 COMMENT '1 when an earlier label of this prediction was stored before: a repeat or a correction',
    model             LowCardinality(String) COMMENT 'Of the prediction; empty when not matched',
    model_version     UInt32 COMMENT 'Of the prediction',
    model_digest      LowCardinality(String) COMMENT 'Of the prediction',
    route             LowCardinality(String) COMMENT 'Of the prediction',
    variant           LowCardinality(String) COMMENT 'Of the prediction',
    class             LowCardinality(Nullable(String)) COMMENT 'Predicted class',
    score             Nullable(Float64) COMMENT 'Predicted score',
    wrong             Nullable(UInt8) COMMENT '1 when label and class differ, NULL when they cannot be compared',
    absolute_error    Nullable(Float64) COMMENT 'Distance of predicted and true value of a regression' CODEC(ZSTD(1)),
    predicted_at      Nullable(DateTime64(6, 'UTC')) COMMENT 'occurred_at of the prediction',
    _topic            LowCardinality(String) COMMENT 'Kafka topic',
    _partition        UInt32 COMMENT 'Kafka partition',
    _offset           UInt64 COMMENT 'Kafka offset' CODEC(Delta(8), ZSTD(1)),
    INDEX by_prediction prediction_id TYPE bloom_filter(0.01) GRANULARITY 4
) ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (_topic, _partition, _offset)
TTL toDateTime(received_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every label as it arrived, exactly once per Kafka record, joined with its prediction if that was stored';

CREATE TABLE IF NOT EXISTS label_matches AS labels
ENGINE = MergeTree
ORDER BY (_topic, _partition, _offset)
TTL toDateTime(received_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Labels that arrived before their prediction, joined later; at most one row per row of labels with matched = 0';

ALTER TABLE label_matches ADD COLUMN IF NOT EXISTS pass UInt64 COMMENT 'Which round of late joining of this partition';

CREATE TABLE IF NOT EXISTS feature_bins (
    model         LowCardinality(String) COMMENT 'Model name',
    model_version UInt32 COMMENT 'Version that answered',
    model_digest  LowCardinality(String) COMMENT 'Digest of its manifest',
    variant       LowCardinality(String) COMMENT 'stable, canary, shadow',
    kind          LowCardinality(String) COMMENT 'feature, score, classes',
    feature       LowCardinality(String) COMMENT 'Feature name; empty for score and classes',
    minute        DateTime('UTC') COMMENT 'Minute of the prediction' CODEC(Delta(4), ZSTD(1)),
    bin           Int16 COMMENT '-1 missing, -2 non-finite, -3 other, from 0 the bins of the reference profile',
    n             UInt64 COMMENT 'Predictions in this bin'
) ENGINE = SummingMergeTree(n)
PARTITION BY toYYYYMM(minute)
ORDER BY (model, model_version, model_digest, variant, kind, feature, minute, bin)
TTL minute + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Integer counts of answered requests over frozen bins: any window is a sum';

CREATE TABLE IF NOT EXISTS reference_bins (
    model         LowCardinality(String) COMMENT 'Model name',
    model_version UInt32 COMMENT 'Version',
    model_digest  LowCardinality(String) COMMENT 'Digest of its manifest, as the predictions name it',
    kind          LowCardinality(String) COMMENT 'feature, score, classes',
    feature       LowCardinality(String) COMMENT 'Feature name; empty for score and classes',
    bin           Int16 COMMENT 'As in feature_bins',
    n             UInt64 COMMENT 'Rows of the training data in this bin',
    lower         Nullable(Float64) COMMENT 'Lower edge of a numeric bin, NULL is open',
    category      Nullable(String) COMMENT 'Category of a categorical bin'
) ENGINE = ReplacingMergeTree
ORDER BY (model, model_version, model_digest, kind, feature, bin)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Reference profile of each version, from its manifest';

CREATE TABLE IF NOT EXISTS events (
    event_id       String COMMENT 'Id of the event' CODEC(ZSTD(1)),
    topic          LowCardinality(String) COMMENT 'Topic it came on',
    occurred_at    DateTime64(6, 'UTC') COMMENT 'When it happened' CODEC(Delta(8), ZSTD(1)),
    recorded_at    DateTime64(6, 'UTC') COMMENT 'Kafka timestamp of the record' CODEC(Delta(8), ZSTD(1)),
    correlation_id String COMMENT 'Shared by all events of one timeline' CODEC(ZSTD(1)),
    cause_id       Nullable(String) COMMENT 'Id of the event that led to this one' CODEC(ZSTD(1)),
    model          LowCardinality(String) COMMENT 'Model it is about',
    type           LowCardinality(String) COMMENT 'Record name',
    key            String COMMENT 'Kafka key' CODEC(ZSTD(1)),
    payload        String COMMENT 'Whole event as JSON' CODEC(ZSTD(3)),
    _topic         LowCardinality(String) COMMENT 'Kafka topic',
    _partition     UInt32 COMMENT 'Kafka partition',
    _offset        UInt64 COMMENT 'Kafka offset' CODEC(Delta(8), ZSTD(1)),
    INDEX by_timeline correlation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_event event_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
ORDER BY (model, occurred_at)
TTL toDateTime(recorded_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024
COMMENT 'Every control event, exactly once per Kafka record';
