"""An upstream that predicts on its own and reports to the platform, with only our .avsc and a Kafka client.

Usage: upstream.py BOOTSTRAP MODEL VERSION DIGEST [ROWS]
"""

import asyncio
import io
import json
import os
import ssl
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
from aiokafka import AIOKafkaProducer
from fastavro.schema import fingerprint, to_parsing_canonical_form

TOPIC = "serving.prediction.logged.v1"
SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / TOPIC / "schema.avsc").read_text())


def encode(record: dict[str, Any]) -> bytes:
    """Avro single-object encoding: a marker, the schema's fingerprint, the body. No schema registry is needed."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), record)
    mark = bytes.fromhex(fingerprint(to_parsing_canonical_form(SCHEMA), "CRC-64-AVRO"))
    return b"\xc3\x01" + mark + body.getvalue()


def credentials() -> dict[str, Any]:
    """How to sign in to a secured Kafka: password over TLS, as the variables name it."""
    if "KAFKA_SASL_USERNAME" not in os.environ:
        return {}
    return {
        "security_protocol": "SASL_SSL",
        "ssl_context": ssl.create_default_context(cafile=os.environ.get("KAFKA_SSL_CA_FILE")),
        "sasl_mechanism": os.environ.get("KAFKA_SASL_MECHANISM", "PLAIN"),
        "sasl_plain_username": os.environ["KAFKA_SASL_USERNAME"],
        "sasl_plain_password": Path(os.environ["KAFKA_SASL_PASSWORD_FILE"]).read_text().strip(),
    }


async def main(bootstrap: str, model: str, version: int, digest: str, rows: int) -> None:
    """Send rows keyed by their prediction id; everything that is left out takes its default."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, **credentials()) as producer:
        for row in range(rows):
            record = {
                "event_id": str(uuid.uuid4()),
                "occurred_at": datetime.now(UTC),
                "prediction_id": f"upstream-{uuid.uuid4()}",
                "model": model,
                "model_version": version,
                "model_digest": digest,
                "route": "batch",
                "features_by_name": {"row": float(row)},
                "class": "yes" if row % 3 else "no",
                "score": 0.5,
            }
            await producer.send(TOPIC, encode(record), key=record["prediction_id"].encode())
    print(f"sent {rows} predictions of {model} v{version}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(main(arguments[0], arguments[1], int(arguments[2]), arguments[3], int((arguments[4:] or ["100"])[0])))
