"""The handler of each API."""

from __future__ import annotations

from typing import Final

from modelyard_devkafka.errors import Code
from modelyard_devkafka.handlers import admin, data, groups, transactions
from modelyard_devkafka.handlers.call import Call, Handler
from modelyard_devkafka.wire import admin_apis as a
from modelyard_devkafka.wire import data_apis as d
from modelyard_devkafka.wire import group_apis as g
from modelyard_devkafka.wire import transaction_apis as t
from modelyard_devkafka.wire.api import Api
from modelyard_devkafka.wire.schema import Message


def api_versions(call: Call, request: Message) -> Message:
    return offered(Code.NONE)


def offered(code: Code) -> Message:
    """Return all APIs and versions; with UNSUPPORTED_VERSION, the response to an unknown ApiVersions version."""
    keys = [{"api_key": api.key, "min_version": api.first, "max_version": api.last} for api, _ in TABLE.values()]
    return {"error_code": code, "api_keys": keys}


_PAIRS: Final[tuple[tuple[Api, Handler], ...]] = (
    (d.PRODUCE, data.produce),
    (d.FETCH, data.fetch),
    (d.LIST_OFFSETS, data.list_offsets),
    (d.METADATA, data.metadata),
    (d.DELETE_RECORDS, data.delete_records),
    (d.OFFSET_FOR_LEADER_EPOCH, data.offset_for_leader_epoch),
    (g.OFFSET_COMMIT, groups.offset_commit),
    (g.OFFSET_FETCH, groups.offset_fetch),
    (g.FIND_COORDINATOR, groups.find_coordinator),
    (g.JOIN_GROUP, groups.join_group),
    (g.HEARTBEAT, groups.heartbeat),
    (g.LEAVE_GROUP, groups.leave_group),
    (g.SYNC_GROUP, groups.sync_group),
    (g.DESCRIBE_GROUPS, groups.describe_groups),
    (g.LIST_GROUPS, groups.list_groups),
    (g.DELETE_GROUPS, groups.delete_groups),
    (g.OFFSET_DELETE, groups.offset_delete),
    (t.INIT_PRODUCER_ID, transactions.init_producer_id),
    (t.ADD_PARTITIONS_TO_TXN, transactions.add_partitions_to_txn),
    (t.ADD_OFFSETS_TO_TXN, transactions.add_offsets_to_txn),
    (t.END_TXN, transactions.end_txn),
    (t.TXN_OFFSET_COMMIT, transactions.txn_offset_commit),
    (a.API_VERSIONS, api_versions),
    (a.CREATE_TOPICS, admin.create_topics),
    (a.DELETE_TOPICS, admin.delete_topics),
    (a.DESCRIBE_CONFIGS, admin.describe_configs),
    (a.ALTER_CONFIGS, admin.alter_configs),
    (a.INCREMENTAL_ALTER_CONFIGS, admin.incremental_alter_configs),
    (a.CREATE_PARTITIONS, admin.create_partitions),
)

TABLE: Final = {api.key: (api, handler) for api, handler in _PAIRS}
