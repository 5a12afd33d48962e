"""Settings, read once in app.py."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from modelyard_own.sync import Product
from modelyard_runtime.settings import DatabaseSettings, ServiceSettings
from modelyard_runtime.tls import check_ca_file

URL = r"^https?://"
URL_OR_NONE = r"^(https?://.*)?$"


class Settings(ServiceSettings, DatabaseSettings):
    """Variables are named CONSOLE_<FIELD>, except those shared by all services."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8100, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/console")
    trainer_url: str = Field("http://127.0.0.1:8102", alias="TRAINER_URL", pattern=URL)
    evaluator_url: str = Field("http://127.0.0.1:8103", alias="EVALUATOR_URL", pattern=URL)
    deployer_url: str = Field("http://127.0.0.1:8104", alias="DEPLOYER_URL", pattern=URL)
    router_url: str = Field("http://127.0.0.1:8105", alias="ROUTER_URL", pattern=URL)
    monitor_url: str = Field("http://127.0.0.1:8106", alias="MONITOR_URL", pattern=URL)
    session_idle_h: float = Field(12.0, gt=0)
    """Hours without a request after which a session ends."""
    session_max_h: float = Field(168.0, gt=0)
    """Hours after which a session ends in any case."""
    secure_cookies: bool = False
    """True where browsers reach the console over https: cookies are then never sent without it."""
    call_timeout_s: float = Field(10.0, gt=0)
    """For connecting to a service and for each read; a page shows what the other services answered."""
    max_upload_bytes: int = Field(256 << 20, gt=0)
    """Largest file that a form accepts."""
    max_uploads_bytes: int = Field(4 << 30, gt=0)
    """All uploaded files that wait for their training run, together."""
    max_model_upload_bytes: int = Field(2 << 30, gt=0)
    """Files of a model that a form accepts, together; also of an archive after it was unpacked."""
    max_model_uploads_bytes: int = Field(8 << 30, gt=0)
    """All uploaded models that wait for their registration, together."""
    registering_timeout_s: float = Field(600.0, gt=0)
    """For one call of a registration: finalizing scans all files of the version."""
    imports: bool = True
    """Whether people may import models of the hubs that have an address here. False: of none."""
    hf_endpoint: str = Field("", alias="HF_ENDPOINT", pattern=URL_OR_NONE)
    """Address of Hugging Face or a mirror; without it, nothing is imported from there."""
    hf_token: SecretStr = Field(SecretStr(""), alias="HF_TOKEN")
    modelscope_endpoint: str = Field("", alias="MODELSCOPE_ENDPOINT", pattern=URL_OR_NONE)
    """Address of ModelScope or a mirror; without it, nothing is imported from there."""
    modelscope_api_token: SecretStr = Field(SecretStr(""), alias="MODELSCOPE_API_TOKEN")
    max_import_bytes: int = Field(4 << 30, gt=0)
    """Files of one import, together."""
    import_timeout_s: float = Field(21_600.0, gt=0)
    """For one download, after which it can be continued; at most the time for which uploads are kept."""
    sync_mlflow: str = ""
    """Addresses of MLflow servers, separated by commas, whose models people may compare and take over."""
    sync_sagemaker: str = ""
    """Regions of SageMaker; credentials are those of boto3."""
    sync_azureml: str = ""
    """Addresses of workspaces and registries of Azure ML."""
    sync_files_root: Annotated[Path | None, BeforeValidator(lambda text: text or None)] = None
    """Folder whose files these registries may name, such as that of `az ml model download`."""
    mlflow_tracking_token: SecretStr = Field(SecretStr(""), alias="MLFLOW_TRACKING_TOKEN")
    mlflow_tracking_username: str = Field("", alias="MLFLOW_TRACKING_USERNAME")
    mlflow_tracking_password: SecretStr = Field(SecretStr(""), alias="MLFLOW_TRACKING_PASSWORD")
    azure_access_token: SecretStr = Field(SecretStr(""), alias="AZURE_ACCESS_TOKEN")
    upload_keep_h: float = Field(24.0, gt=0)
    """Hours after which an uploaded file is deleted."""
    max_upload_cells: int = Field(10_000_000, gt=0)
    """Rows times columns of an uploaded file."""
    reading_timeout_s: float = Field(120.0, gt=0)
    """For reading an uploaded file once."""
    reading_memory_bytes: int = Field(4 << 30, gt=0)
    """Address space of the process that reads an uploaded file."""

    @property
    def urls(self) -> dict[str, str]:
        """Address by service."""
        names = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
        return {name: getattr(self, f"{name}_url") for name in names}

    @property
    def hub_variables(self) -> dict[str, str]:
        """Addresses and tokens of hubs by the variables of the command line; empty where there is none."""
        return {
            "HF_ENDPOINT": self.hf_endpoint,
            "HF_TOKEN": self.hf_token.get_secret_value(),
            "MODELSCOPE_ENDPOINT": self.modelscope_endpoint,
            "MODELSCOPE_API_TOKEN": self.modelscope_api_token.get_secret_value(),
        }

    @property
    def sync_addresses(self) -> dict[Product, list[str]]:
        """Addresses of registries of other products."""
        given = {
            Product.MLFLOW: self.sync_mlflow,
            Product.SAGEMAKER: self.sync_sagemaker,
            Product.AZUREML: self.sync_azureml,
        }
        return {product: [one.strip() for one in text.split(",") if one.strip()] for product, text in given.items()}

    @property
    def sync_variables(self) -> dict[str, str]:
        """Credentials for these registries by the variables of the command line; empty where there is none."""
        return {
            "MLFLOW_TRACKING_TOKEN": self.mlflow_tracking_token.get_secret_value(),
            "MLFLOW_TRACKING_USERNAME": self.mlflow_tracking_username,
            "MLFLOW_TRACKING_PASSWORD": self.mlflow_tracking_password.get_secret_value(),
            "AZURE_ACCESS_TOKEN": self.azure_access_token.get_secret_value(),
        }

    @property
    def session_idle(self) -> timedelta:
        return timedelta(hours=self.session_idle_h)

    @property
    def session_max(self) -> timedelta:
        return timedelta(hours=self.session_max_h)

    def check_files(self) -> None:
        """The console neither reads nor writes topics, so it needs no Kafka and no trust document."""
        _ = self.service_key
        check_ca_file(self.ca_file)
