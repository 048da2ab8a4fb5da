"""Prefect flows that run the pipelines. No other module imports this package."""

try:
    import prefect  # noqa: F401
except ModuleNotFoundError as error:
    advice = "Prefect is not installed: pip install -c constraints.txt -e '.[prefect]'"
    raise ModuleNotFoundError(advice, name="prefect") from error

from network_anomalies.orchestration.flows import Ingested, data_ingestion_flow, full_mlops_flow

__all__ = ["Ingested", "data_ingestion_flow", "full_mlops_flow"]
