"""The Kafka of the deployment (deploy/kafka, secrets of deploy/compose-env) as a process of this machine.

Beside the deployment's own listeners it has one for SCRAM and OAUTHBEARER and one for client certificates, so that one
broker shows every way to sign in.
"""

import base64
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from modelyard_devstack.ports import free_port
from modelyard_devstack.providers.kafka_home import start_node
from modelyard_devstack.providers.process import Child
from modelyard_runtime.brokers import Brokers, Security

ROOT: Final = Path(__file__).parents[5]
PASSWORD: Final = "scram-password"  # noqa: S105  of a broker that lives for one test run
LOGIN: Final = "org.apache.kafka.common.security"
MORE: Final = """
log.dirs={data}/log
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=4194304
listener.name.more.sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
listener.name.more.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.more.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required;
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/
"""


@dataclass(frozen=True)
class SecuredKafka:
    """A running broker. `brokers(name)` signs in as a user of the deployment, on the deployment's listener."""

    secrets: Path
    ports: dict[str, int]
    process: Child
    home: str

    def brokers(self, name: str) -> Brokers:
        password = self.secrets / f"{name}.password"
        return self.at("external", mechanism="PLAIN", username=name, password_file=password)

    def at(self, listener: str, **security: object) -> Brokers:
        """A listener, trusting the deployment's authority."""
        base = Security(protocol="SASL_SSL", ca_file=self.secrets / "ca.pem")
        return Brokers(f"127.0.0.1:{self.ports[listener]}", replace(base, **security))  # type: ignore[arg-type]

    def environment(self, name: str) -> dict[str, str]:
        """Variables of a service that signs in as `name`."""
        brokers = self.brokers(name)
        return {
            "KAFKA_BOOTSTRAP_SERVERS": brokers.bootstrap,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": name,
            "KAFKA_SASL_PASSWORD_FILE": str(brokers.security.password_file),
            "KAFKA_SSL_CA_FILE": str(brokers.security.ca_file),
        }

    def tool(self, name: str) -> str:
        """The command line of one of Kafka's own tools, without its arguments."""
        return f"java -XX:TieredStopAtLevel=1 -cp '{Path(self.home).resolve()}/libs/*' {name}"


def start_secured(folder: Path, home: str) -> SecuredKafka:
    """Start it in an empty folder, with `home` as KAFKA_HOME."""
    secrets = create_secrets(folder)
    ports = {name: free_port() for name in ("internal", "external", "controller", "more", "mutual")}
    users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in ("registry", "router")]
    options = [word for user in users for word in ("--add-scram", user)]
    process = start_node(home, folder / "node", _properties(folder, secrets, ports), os.environ, options)
    return SecuredKafka(secrets, ports, process, home)


def create_secrets(folder: Path) -> Path:
    """Run the deployment's script in `folder`; return the folder of Kafka's secrets."""
    (folder / "deploy").mkdir()
    script = shutil.copy(ROOT / "deploy" / "compose-env", folder / "deploy")
    subprocess.run([script], check=True, capture_output=True)  # noqa: S603  our own script
    return folder / ".secrets" / "kafka"


def _properties(folder: Path, secrets: Path, ports: dict[str, int]) -> str:
    """The deployment's file with this machine's paths and ports, and with two more listeners."""
    text = (ROOT / "deploy" / "kafka" / "server.properties").read_text()
    files = {"users": "users.properties", "tls": "tls.pem", "ca": "ca.pem"}
    text = re.sub(r"/run/secrets/kafka_(\w+)", lambda found: str(secrets / files[found[1]]), text)
    listeners = ",".join(f"{name.upper()}://127.0.0.1:{port}" for name, port in ports.items())
    advertised = ",".join(part for part in listeners.split(",") if not part.startswith("CONTROLLER"))
    changes = {
        "controller.quorum.voters": f"1@127.0.0.1:{ports['controller']}",
        "listeners": listeners,
        "advertised.listeners": advertised,
    }
    for name, value in changes.items():
        text = re.sub(rf"^{re.escape(name)}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
    text = re.sub(r"^(listener.security.protocol.map=.*)$", r"\1,MORE:SASL_SSL,MUTUAL:SSL", text, flags=re.MULTILINE)
    text = re.sub(r"^log.dirs=.*$", "", text, flags=re.MULTILINE)
    return text + MORE.format(data=folder / "node", login=LOGIN)


def unsigned_token(subject: str, lifetime_s: int, now_s: int) -> str:
    """A token as Kafka's default validator accepts it, which is for tests only: it has no signature."""
    parts = ({"alg": "none"}, {"sub": subject, "iat": now_s, "exp": now_s + lifetime_s})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{encoded[0]}.{encoded[1]}."
