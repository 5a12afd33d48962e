"""What may reach the engine: formats, settings, table functions and engines, each an exact list.

A test compares each list with the engine's own, so that a new engine version cannot add to what is allowed.
"""

from __future__ import annotations

from typing import Final

from modelyard_devclickhouse.sql import words

OUTPUT_FORMATS: Final = words(
    """
    Arrow ArrowStream Avro BSONEachRow Buffers CSV CSVWithNames CSVWithNamesAndTypes CustomSeparated
    CustomSeparatedWithNames CustomSeparatedWithNamesAndTypes GeoJSON Hash HiveText JSON JSONColumns
    JSONColumnsWithMetadata JSONCompact JSONCompactColumns JSONCompactEachRow JSONCompactEachRowWithNames
    JSONCompactEachRowWithNamesAndTypes JSONCompactEachRowWithProgress JSONCompactStrings
    JSONCompactStringsEachRow JSONCompactStringsEachRowWithNames JSONCompactStringsEachRowWithNamesAndTypes
    JSONCompactStringsEachRowWithProgress JSONEachRow JSONEachRowWithProgress JSONL JSONLines JSONObjectEachRow
    JSONStrings JSONStringsEachRow JSONStringsEachRowWithProgress LineAsString LineAsStringWithNames
    LineAsStringWithNamesAndTypes MD Markdown MsgPack NDJSON Native Npy Null ODBCDriver2 ORC PNG Parquet Pretty
    PrettyCompact PrettyCompactMonoBlock PrettyCompactNoEscapes PrettyCompactNoEscapesMonoBlock
    PrettyJSONEachRow PrettyJSONLines PrettyMonoBlock PrettyNDJSON PrettyNoEscapes PrettyNoEscapesMonoBlock
    PrettySpace PrettySpaceMonoBlock PrettySpaceNoEscapes PrettySpaceNoEscapesMonoBlock Prometheus Raw RawBLOB
    RawWithNames RawWithNamesAndTypes RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes SQLInsert TSKV TSV
    TSVRaw TSVRawWithNames TSVRawWithNamesAndTypes TSVWithNames TSVWithNamesAndTypes TabSeparated
    TabSeparatedRaw TabSeparatedRawWithNames TabSeparatedRawWithNamesAndTypes TabSeparatedWithNames
    TabSeparatedWithNamesAndTypes Values Vertical XML
    """
)
"""Formats of results. Left out are those that read or write schema files or speak another server's protocol."""
INPUT_FORMATS: Final = words(
    """
    Arrow ArrowStream Avro BSONEachRow Buffers CSV CSVWithNames CSVWithNamesAndTypes CustomSeparated
    CustomSeparatedIgnoreSpaces CustomSeparatedIgnoreSpacesWithNames
    CustomSeparatedIgnoreSpacesWithNamesAndTypes CustomSeparatedWithNames CustomSeparatedWithNamesAndTypes Form
    GeoJSON JSON JSONAsObject JSONAsString JSONColumns JSONColumnsWithMetadata JSONCompact JSONCompactColumns
    JSONCompactEachRow JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes JSONCompactStringsEachRow
    JSONCompactStringsEachRowWithNames JSONCompactStringsEachRowWithNamesAndTypes JSONEachRow JSONL JSONLines
    JSONObjectEachRow JSONStringsEachRow LineAsString MsgPack NDJSON Native Npy ORC Parquet Raw RawBLOB
    RawWithNames RawWithNamesAndTypes Regexp RowBinary RowBinaryWithDefaults RowBinaryWithNames
    RowBinaryWithNamesAndTypes RowBinaryWithNamesAndTypesAndDefaults TSKV TSV TSVRaw TSVRawWithNames
    TSVRawWithNamesAndTypes TSVWithNames TSVWithNamesAndTypes TabSeparated TabSeparatedRaw
    TabSeparatedRawWithNames TabSeparatedRawWithNamesAndTypes TabSeparatedWithNames
    TabSeparatedWithNamesAndTypes
    """
)
"""Formats whose data are data. Values is not among them: its data hold expressions, which the engine evaluates."""
READER_SETTINGS: Final = words(
    """
    aggregate_functions_null_for_empty allow_experimental_analyzer allow_experimental_object_type
    any_join_distinct_right_table_keys asterisk_include_alias_columns asterisk_include_materialized_columns
    bool_false_representation bool_true_representation cancel_http_readonly_queries_on_client_close
    cast_keep_nullable cast_string_to_date_time_mode cast_string_to_dynamic_use_inference
    cast_string_to_variant_use_inference check_query_single_value_result connect_timeout
    count_distinct_implementation date_time_input_format date_time_output_format date_time_overflow_behavior
    decimal_check_overflow describe_compact_output describe_include_subcolumns distinct_overflow_mode
    distributed_product_mode empty_result_for_aggregation_by_empty_set enable_analyzer enable_http_compression
    enable_optimize_predicate_expression enable_reads_from_query_cache enable_writes_to_query_cache
    errors_output_format except_default_mode extremes final force_index_by_date force_primary_key
    format_csv_allow_double_quotes format_csv_allow_single_quotes format_csv_delimiter
    format_csv_null_representation format_custom_escaping_rule format_custom_field_delimiter
    format_custom_result_after_delimiter format_custom_result_before_delimiter format_custom_row_after_delimiter
    format_custom_row_before_delimiter format_custom_row_between_delimiter
    format_json_object_each_row_column_for_object_name format_tsv_null_representation group_by_overflow_mode
    group_by_use_nulls http_connection_timeout http_headers_progress_interval_ms
    http_native_compression_disable_checksumming_on_decompress http_receive_timeout http_response_buffer_size
    http_send_timeout http_wait_end_of_query http_write_exception_in_output_format http_zlib_compression_level
    idle_connection_timeout intersect_default_mode interval_output_format join_algorithm join_any_take_last_row
    join_default_strictness join_overflow_mode join_use_nulls joined_subquery_requires_alias limit log_comment
    log_queries low_cardinality_allow_in_native_format max_analyze_depth max_ast_depth max_ast_elements
    max_block_size max_bytes_before_external_group_by max_bytes_before_external_sort max_bytes_in_distinct
    max_bytes_in_join max_bytes_in_set max_bytes_ratio_before_external_group_by
    max_bytes_ratio_before_external_sort max_bytes_to_read max_bytes_to_read_leaf max_bytes_to_sort
    max_columns_to_read max_estimated_execution_time max_execution_speed max_execution_time
    max_execution_time_leaf max_expanded_ast_elements max_final_threads max_joined_block_size_rows
    max_memory_usage max_network_bandwidth max_parser_backtracks max_parser_depth max_partitions_to_read
    max_query_size max_read_buffer_size max_result_bytes max_result_rows max_rows_in_distinct max_rows_in_join
    max_rows_in_set max_rows_to_group_by max_rows_to_read max_rows_to_read_leaf max_rows_to_sort
    max_subquery_depth max_temporary_columns max_threads min_execution_speed network_compression_method
    network_zstd_compression_level offset optimize_move_to_prewhere optimize_read_in_order
    optimize_trivial_count_query optimize_use_projections prefer_column_name_to_alias preferred_block_size_bytes
    priority query_cache_min_query_runs query_cache_ttl read_overflow_mode receive_timeout result_overflow_mode
    select_sequential_consistency send_progress_in_http_headers send_timeout session_timezone set_overflow_mode
    sort_overflow_mode tcp_keep_alive_timeout timeout_before_checking_execution_speed timeout_overflow_mode
    totals_auto_threshold totals_mode transform_null_in union_default_mode use_client_time_zone use_query_cache
    use_skip_indexes use_uncompressed_cache
    """
) | words(
    """
    output_format_always_write_decimal_point_in_float_and_decimal output_format_arrow_compression_method
    output_format_arrow_date_as_uint16 output_format_arrow_fixed_string_as_fixed_byte_array
    output_format_arrow_low_cardinality_as_dictionary output_format_arrow_parallel_encoding
    output_format_arrow_record_batch_size output_format_arrow_record_batch_size_bytes
    output_format_arrow_string_as_string output_format_arrow_unsupported_types_as_binary
    output_format_arrow_use_64_bit_indexes_for_dictionary output_format_arrow_use_native_writer
    output_format_arrow_use_signed_indexes_for_dictionary output_format_arrow_uuid_as_fixed_byte_array
    output_format_arrow_variant_as_string output_format_avro_codec output_format_avro_rows_in_file
    output_format_avro_string_column_pattern output_format_avro_sync_interval
    output_format_binary_encode_types_in_binary_format output_format_binary_write_json_as_string
    output_format_bson_string_as_string output_format_compression_level
    output_format_compression_zstd_window_log output_format_csv_crlf_end_of_line
    output_format_csv_header_serialize_tuple_into_separate_columns
    output_format_csv_serialize_tuple_into_separate_columns output_format_decimal_trailing_zeros
    output_format_enable_streaming output_format_float_precision output_format_image_height
    output_format_image_streaming_animation output_format_image_time_divisor_seconds
    output_format_image_time_multiplier_seconds output_format_image_width output_format_json_array_of_rows
    output_format_json_escape_forward_slashes output_format_json_map_as_array_of_tuples
    output_format_json_named_tuples_as_objects output_format_json_pretty_print
    output_format_json_quote_64bit_floats output_format_json_quote_64bit_integers
    output_format_json_quote_decimals output_format_json_quote_denormals
    output_format_json_skip_null_value_in_named_tuples output_format_json_validate_utf8
    output_format_markdown_escape_special_characters output_format_msgpack_uuid_representation
    output_format_native_encode_types_in_binary_format
    output_format_native_use_flattened_dynamic_and_json_serialization output_format_native_write_json_as_string
    output_format_orc_compression_block_size output_format_orc_compression_method
    output_format_orc_dictionary_key_size_threshold output_format_orc_row_index_stride
    output_format_orc_string_as_string output_format_orc_writer_time_zone_name output_format_parallel_formatting
    output_format_parquet_batch_size output_format_parquet_bloom_filter_bits_per_value
    output_format_parquet_bloom_filter_flush_threshold_bytes output_format_parquet_compliant_nested_types
    output_format_parquet_compression_method output_format_parquet_data_page_size
    output_format_parquet_date_as_uint16 output_format_parquet_datetime_as_uint32
    output_format_parquet_enum_as_byte_array output_format_parquet_fixed_string_as_fixed_byte_array
    output_format_parquet_geometadata output_format_parquet_max_dictionary_size
    output_format_parquet_parallel_encoding output_format_parquet_row_group_size
    output_format_parquet_row_group_size_bytes output_format_parquet_string_as_string
    output_format_parquet_unsupported_types_as_binary output_format_parquet_use_custom_encoder
    output_format_parquet_version output_format_parquet_wide_integer_as_decimal
    output_format_parquet_write_bloom_filter output_format_parquet_write_checksums
    output_format_parquet_write_page_index output_format_pretty_color
    output_format_pretty_display_footer_column_names output_format_pretty_display_footer_column_names_min_rows
    output_format_pretty_fallback_to_vertical output_format_pretty_fallback_to_vertical_max_rows_per_chunk
    output_format_pretty_fallback_to_vertical_min_columns
    output_format_pretty_fallback_to_vertical_min_table_width output_format_pretty_glue_chunks
    output_format_pretty_grid_charset output_format_pretty_highlight_digit_groups
    output_format_pretty_highlight_trailing_spaces output_format_pretty_max_column_name_width_cut_to
    output_format_pretty_max_column_name_width_min_chars_to_cut output_format_pretty_max_column_pad_width
    output_format_pretty_max_rows output_format_pretty_max_value_width
    output_format_pretty_max_value_width_apply_for_single_value output_format_pretty_multiline_fields
    output_format_pretty_named_tuples_as_json output_format_pretty_row_numbers
    output_format_pretty_single_large_number_tip_threshold output_format_pretty_squash_consecutive_ms
    output_format_pretty_squash_max_wait_ms output_format_pretty_use_nbsp_for_padding
    output_format_sql_insert_include_column_names output_format_sql_insert_max_batch_size
    output_format_sql_insert_quote_names output_format_sql_insert_table_name
    output_format_sql_insert_use_replace output_format_trim_fixed_string output_format_tsv_crlf_end_of_line
    output_format_values_escape_quote_with_quote output_format_write_statistics
    """
)
"""Settings a reader may change: limits, and how values are compared and written. None holds a path or SQL."""
INERT_SETTINGS: Final = words(
    """
    alter_sync async_insert async_insert_busy_timeout_decrease_rate async_insert_busy_timeout_increase_rate
    async_insert_busy_timeout_max_ms async_insert_busy_timeout_min_ms async_insert_busy_timeout_ms
    async_insert_cleanup_timeout_ms async_insert_deduplicate async_insert_max_data_size
    async_insert_max_query_number async_insert_poll_timeout_ms async_insert_stale_timeout_ms
    async_insert_threads async_insert_use_adaptive_busy_timeout
    deduplicate_blocks_in_dependent_materialized_views input_format_allow_errors_num
    input_format_allow_errors_ratio input_format_allow_seeks input_format_arrow_allow_missing_columns
    input_format_arrow_case_insensitive_column_matching input_format_arrow_import_nested
    input_format_arrow_skip_columns_with_unsupported_types_in_schema_inference
    input_format_arrow_use_native_reader input_format_avro_allow_missing_fields
    input_format_avro_null_as_default input_format_binary_decode_types_in_binary_format
    input_format_binary_max_type_complexity input_format_binary_read_json_as_string
    input_format_bson_skip_fields_with_unsupported_types_in_schema_inference
    input_format_capn_proto_skip_fields_with_unsupported_types_in_schema_inference
    input_format_column_name_matching_mode input_format_connection_handling
    input_format_csv_allow_cr_end_of_line input_format_csv_allow_variable_number_of_columns
    input_format_csv_allow_whitespace_or_tab_as_delimiter input_format_csv_arrays_as_nested_csv
    input_format_csv_deserialize_separate_columns_into_tuple input_format_csv_detect_header
    input_format_csv_empty_as_default input_format_csv_enum_as_number
    input_format_csv_missing_nullable_as_empty_string input_format_csv_skip_first_lines
    input_format_csv_skip_trailing_empty_lines input_format_csv_trim_whitespaces
    input_format_csv_try_infer_numbers_from_strings input_format_csv_try_infer_strings_from_quoted_tuples
    input_format_csv_use_best_effort_in_schema_inference input_format_csv_use_default_on_bad_values
    input_format_custom_allow_variable_number_of_columns input_format_custom_detect_header
    input_format_custom_skip_trailing_empty_lines input_format_defaults_for_omitted_fields
    input_format_force_null_for_omitted_fields input_format_geojson_unsupported_geometry_handling
    input_format_hive_text_allow_variable_number_of_columns input_format_hive_text_collection_items_delimiter
    input_format_hive_text_fields_delimiter input_format_hive_text_map_keys_delimiter
    input_format_import_nested_json input_format_ipv4_default_on_conversion_error
    input_format_ipv6_default_on_conversion_error input_format_json_compact_allow_variable_number_of_columns
    input_format_json_defaults_for_missing_elements_in_named_tuple input_format_json_empty_as_default
    input_format_json_ignore_unknown_keys_in_named_tuple input_format_json_ignore_unnecessary_fields
    input_format_json_infer_array_of_dynamic_from_array_of_different_types
    input_format_json_infer_incomplete_types_as_strings input_format_json_map_as_array_of_tuples
    input_format_json_max_depth input_format_json_max_object_size
    input_format_json_max_string_column_growth_step input_format_json_named_tuples_as_objects
    input_format_json_read_arrays_as_strings input_format_json_read_bools_as_numbers
    input_format_json_read_bools_as_strings input_format_json_read_numbers_as_strings
    input_format_json_read_objects_as_strings input_format_json_throw_on_bad_escape_sequence
    input_format_json_try_infer_named_tuples_from_objects input_format_json_try_infer_numbers_from_strings
    input_format_json_use_string_type_for_ambiguous_paths_in_named_tuples_inference_from_objects
    input_format_json_validate_types_from_metadata input_format_max_block_size_bytes
    input_format_max_block_wait_ms input_format_max_bytes_to_read_for_schema_inference
    input_format_max_rows_to_read_for_schema_inference input_format_msgpack_number_of_columns
    input_format_mysql_dump_map_column_names
    input_format_native_allow_types_conversion input_format_native_decode_types_in_binary_format
    input_format_null_as_default input_format_orc_allow_missing_columns
    input_format_orc_case_insensitive_column_matching input_format_orc_dictionary_as_low_cardinality
    input_format_orc_filter_push_down input_format_orc_import_nested input_format_orc_reader_time_zone_name
    input_format_orc_row_batch_size input_format_orc_skip_columns_with_unsupported_types_in_schema_inference
    input_format_orc_use_fast_decoder input_format_parallel_parsing input_format_parquet_allow_geoparquet_parser
    input_format_parquet_allow_missing_columns input_format_parquet_bloom_filter_push_down
    input_format_parquet_case_insensitive_column_matching input_format_parquet_dictionary_filter_push_down
    input_format_parquet_enable_json_parsing input_format_parquet_enable_row_group_prefetch
    input_format_parquet_filter_push_down input_format_parquet_import_nested
    input_format_parquet_local_file_min_bytes_for_seek input_format_parquet_local_time_as_utc
    input_format_parquet_max_block_size input_format_parquet_memory_high_watermark
    input_format_parquet_memory_low_watermark input_format_parquet_page_filter_push_down
    input_format_parquet_prefer_block_bytes input_format_parquet_preserve_order
    input_format_parquet_skip_columns_with_unsupported_types_in_schema_inference
    input_format_parquet_spatial_filter_push_down input_format_parquet_use_native_reader
    input_format_parquet_use_native_reader_v3 input_format_parquet_use_offset_index
    input_format_parquet_verify_checksums input_format_protobuf_flatten_google_wrappers
    input_format_protobuf_oneof_presence
    input_format_protobuf_skip_fields_with_unsupported_types_in_schema_inference
    input_format_read_datetime_number_as_raw_value input_format_skip_unknown_fields input_format_try_infer_dates
    input_format_try_infer_datetimes input_format_try_infer_datetimes_only_datetime64
    input_format_try_infer_exponent_floats input_format_try_infer_integers input_format_try_infer_variants
    input_format_tsv_allow_variable_number_of_columns input_format_tsv_crlf_end_of_line
    input_format_tsv_detect_header input_format_tsv_empty_as_default input_format_tsv_enum_as_number
    input_format_tsv_skip_first_lines input_format_tsv_skip_trailing_empty_lines
    input_format_tsv_use_best_effort_in_schema_inference input_format_values_accurate_types_of_literals
    input_format_values_deduce_templates_of_expressions input_format_values_interpret_expressions
    input_format_with_names_use_header input_format_with_types_use_header insert_allow_materialized_columns
    insert_deduplicate insert_deduplication_token insert_distributed_one_random_shard insert_distributed_sync
    insert_distributed_timeout insert_keeper_fault_injection_probability insert_keeper_fault_injection_seed
    insert_keeper_max_retries insert_keeper_retry_initial_backoff_ms insert_keeper_retry_max_backoff_ms
    insert_null_as_default insert_quorum insert_quorum_parallel insert_quorum_timeout insert_select_deduplicate
    insert_shard_id lightweight_deletes_sync materialized_views_ignore_errors max_insert_block_size
    max_insert_threads min_insert_block_size_bytes min_insert_block_size_rows mutations_sync
    parallel_view_processing wait_for_async_insert wait_for_async_insert_timeout
    """
)
"""Settings of writes, which some clients send with every request: accepted from a reader, and without effect."""
ALLOWED_TABLE_FUNCTIONS: Final = words(
    """
    sqlstandardvalues cluster clusterallreplicas dictionary format fuzzjson fuzzquery generaterandom
    generateseries generate_series input loop merge mergetreeanalyzeindexes mergetreeanalyzeindexesuuid
    mergetreecodecblockcounts mergetreeindex mergetreeprojection mergetreetextindex null numbers numbers_mt primes
    prometheusquery prometheusqueryrange timeseriesdata timeseriesmetricfamilies timeseriesmetrics
    timeseriessamples timeseriesselector timeseriestags values view viewexplain viewifpermitted zeros zeros_mt
    """
)
"""Table functions that stay inside the database; a test compares the engine's list with this and the next."""
REFUSED_CALLS: Final = words(
    """
    arrowstream arrowflight azureblobstorage azureblobstoragecluster azurequeue bigquery cosn deltalake
    deltalakeazure deltalakeazurecluster deltalakecluster deltalakelocal deltalakes3 deltalakes3cluster eval
    executable executablepool file filecluster filelog filesystem gcs hdfs hdfscluster hudi hudicluster iceberg
    icebergazure icebergazurecluster icebergcluster iceberghdfs iceberghdfscluster iceberglocal
    iceberglocalcluster icebergs3 icebergs3cluster jdbc kafka keepermap materializedpostgresql mongodb mongo mysql
    nats odbc oss paimon paimonazure paimonazurecluster paimoncluster paimonhdfs paimonhdfscluster paimonlocal
    paimonlocalcluster paimons3 paimons3cluster postgresql python queryrunner rabbitmq redis remote remotesecure
    s3 s3cluster s3queue sqlite url urlcluster ytsaurus embeddedrocksdb hive http cassandra library disk
    datalakecatalog catboostevaluate yamlregexptree ssd_cache complex_key_ssd_cache
    """
)
"""Names that must not be called, as table function, engine, dictionary source or plain function."""
REFUSED_FUNCTIONS: Final = words(
    "file aiclassify aiembed aiextract aifilter aigenerate airedact aisimilarity aitranslate"
)
"""Plain functions that reach outside. They can also be named without a call (APPLY file, arrayMap(file, ...))."""
REFUSED_FORMATS: Final = words(
    """
    template templateignorespaces protobuf protobufsingle protobuflist mysqlwire postgresqlwire avroconfluent dwarf
    puffin puffinmetadata parquetmetadata one mysqldump capnproto
    """
)
"""Formats that read or write schema files, reach the network, or parse another file format's insides."""
PATH_SETTINGS: Final = words(
    """
    additional_result_filter additional_table_filters dialect filter format_avro_schema_registry_url format_schema
    format_schema_message_name format_schema_source format_template_resultset format_template_row
    implicit_table_at_top_level input_format_record_errors_file_path order output_format_avro_confluent_subject
    output_format_schema parallel_replicas_custom_key polyglot_dialect rename_files_after_processing s3_base select
    sort url_base
    """
)
"""Settings that hold a path, an address or SQL; the engine's own constraints fix them, too."""
REFUSED_SETTINGS: Final = PATH_SETTINGS | words(
    """
    ai_function_embedding_default_credentials ai_function_text_default_credentials allow_introspection_functions
    chdb_client_name cluster_for_parallel_replicas compression database default_format default_view_definer
    distributed_cache_client_id distributed_cache_file_cache_name distributed_plan_force_exchange_kind
    filesystem_cache_name format format_capn_proto_use_autogenerated_schema format_protobuf_use_autogenerated_schema
    format_template_resultset_format format_template_row_format format_template_rows_between_delimiter
    framing_output_format function_implementation http_response_headers iceberg_metadata_compression_method
    input_format input_format_mysql_dump_table_name local_filesystem_read_method metrics_perf_events_list
    output_format output_format_image_terminal_mode promql_database promql_table remote_filesystem_read_method
    s3_upload_checksum_algorithm s3queue_default_zookeeper_path schema_inference_hints send_logs_source_regexp
    storage_file_read_method stream_like_engine_insert_queue trace_profile_events_list workload disk table_disk
    remote_fs_zero_copy_zookeeper_path
    """
)
"""Settings of queries and tables that no user may change."""
WRITER_TEXT_SETTINGS: Final = words(
    """
    column_names_for_schema_inference compatibility exclude_materialize_skip_indexes_on_insert
    force_data_skipping_indices force_optimize_projection_name format_regexp ignore_data_skipping_indices
    input_format_orc_reader_time_zone_name insert_deduplication_token preferred_optimize_projection_name query_cache_tag
    temporary_files_codec
    """
)
"""Settings with free text that only a writer may change; a test finds every other one in a list above."""
DICTIONARY_SOURCES: Final = words("clickhouse null")
SYSTEM_COMMANDS: Final = words(
    "FLUSH DROP CLEAR RELOAD STOP START SYNC WAIT REFRESH CANCEL PRELOAD UNLOAD ENABLE DISABLE"
)
READER_KEYWORDS: Final = words("SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK USE KILL")
WRITER_KEYWORDS: Final = READER_KEYWORDS | words(
    "INSERT CREATE DROP ALTER RENAME TRUNCATE OPTIMIZE SET SYSTEM DETACH ATTACH EXCHANGE DELETE UPDATE UNDROP REPLACE"
)
"""First words of the statements of each role."""
