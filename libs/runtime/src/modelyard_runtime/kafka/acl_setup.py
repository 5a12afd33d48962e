"""Add the rights of all services to a Kafka, as its administrator: `python -m modelyard_runtime.kafka.acl_setup`.

Rights are added, never removed: those of other programs on the same cluster stay.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import BrokerAway, Unavailable
from modelyard_runtime.kafka.access_errors import explain, start_client
from modelyard_runtime.kafka.acls import Acl, acls
from modelyard_runtime.kafka.aiokafka_internals import create_acls
from modelyard_runtime.kafka_settings import KafkaSettings

KINDS: Final = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
OPERATIONS: Final = {"Read": 3, "Write": 4, "Create": 5, "IdempotentWrite": 12}
LITERAL, PREFIXED = 3, 4
ALLOW: Final = 3
ANY_HOST: Final = "*"


async def add_acls(bootstrap: Bootstrap, rights: Iterable[Acl]) -> int:
    """Add the rights, those that exist included; returns their number. Unavailable: the broker refuses one."""
    admin: Any = AIOKafkaAdminClient(**client_settings(bootstrap))
    wanted = list(rights)
    try:
        await start_client(admin, bootstrap)
        for right, (code, text) in zip(wanted, await create_acls(admin, map(_wire, wanted)), strict=True):
            if code:
                raise Unavailable(f"{right}: Kafka refuses it ({text or f'error {code}'}); connect as an administrator")
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"Kafka at {bootstrap}: {explain(error, bootstrap)}") from error
    finally:
        await admin.close()
    return len(wanted)


def _wire(right: Acl) -> tuple[int, str, int, str, str, int, int]:
    pattern = PREFIXED if right.prefixed else LITERAL
    return KINDS[right.kind], right.name, pattern, right.principal, ANY_HOST, OPERATIONS[right.operation], ALLOW


def main() -> None:
    """Add all rights to the Kafka that the environment names."""
    brokers = KafkaSettings().brokers
    print(f"added {asyncio.run(add_acls(brokers, acls()))} access rights to Kafka at {brokers}")


if __name__ == "__main__":
    main()
