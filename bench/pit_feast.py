"""Feast's side of pit.py, run with Feast's own packages: the newest values at each decision, by its DuckDB store.

Usage: pit_feast.py REPOSITORY INPUTS TTL_DAYS RESULT

Writes the rows to RESULT and prints one JSON object: the milliseconds of `get_historical_features(..).to_arrow()`, the
greatest memory of the process in MiB, and Feast's version.
"""

import json
import resource
import sys
import time
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pandas
import pyarrow.parquet
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Int64
from feast.value_type import ValueType

CONFIGURATION = """\
project: pit
registry: registry.db
provider: local
offline_store:
  type: duckdb
online_store:
  type: sqlite
  path: online.db
entity_key_serialization_version: 3
telemetry: false
"""
VALUES = [f"f{i}" for i in range(10)]


def main():
    repository, inputs, ttl, result = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "feature_store.yaml").write_text(CONFIGURATION)
    store = FeatureStore(repo_path=str(repository))
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
    view = FeatureView(
        name="v0",
        entities=[entity],
        ttl=timedelta(days=ttl),
        schema=[Field(name=name, dtype=Int64) for name in VALUES],
        source=FileSource(name="events", path=str(inputs / "events0" / "0.parquet"), timestamp_field="t"),
    )
    store.apply([entity, view])
    spine = pandas.read_parquet(inputs / "spine" / "0.parquet").rename(columns={"t": "event_timestamp"})
    began = time.perf_counter()
    rows = store.get_historical_features(entity_df=spine, features=[f"v0:{name}" for name in VALUES]).to_arrow()
    ms = (time.perf_counter() - began) * 1000
    pyarrow.parquet.write_table(rows, result)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"ms": round(ms, 1), "peak_mib": peak, "version": version("feast")}))


if __name__ == "__main__":
    main()
