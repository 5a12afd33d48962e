"""The REST API that MLflow's client speaks, at `/mlflow/{workspace}`: a translation to the registry's use cases."""

from modelyard_registry.api.mlflow.routes import install

__all__ = ["install"]
