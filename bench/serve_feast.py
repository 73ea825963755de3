"""Feast's side of serve.py, run with Feast's own packages: defines 25 feature views over one file and fills Redis.

Usage: serve_feast.py REPOSITORY PARQUET VIEWS FEATURES REDIS_PORT

Prints one JSON object: the seconds that `apply` and `materialize` took. `feast serve` is started by serve.py.
"""

import json
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Int64
from feast.value_type import ValueType

CONFIGURATION = """\
project: serve
registry: registry.db
provider: local
offline_store:
  type: dask
online_store:
  type: redis
  connection_string: 127.0.0.1:{port}
entity_key_serialization_version: 3
telemetry: false
"""


def main():
    repository, parquet = Path(sys.argv[1]), sys.argv[2]
    views, features, port = (int(word) for word in sys.argv[3:6])
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "feature_store.yaml").write_text(CONFIGURATION.format(port=port))
    store = FeatureStore(repo_path=str(repository))
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
    source = FileSource(name="rows", path=parquet, timestamp_field="at")
    defined = []
    for view in range(views):
        names = [f"f{view * features + feature}" for feature in range(features)]
        defined.append(
            FeatureView(
                name=f"view_{view}",
                entities=[entity],
                ttl=timedelta(days=36500),
                schema=[Field(name=name, dtype=Int64) for name in names],
                source=source,
            )
        )
    began = time.perf_counter()
    store.apply([entity, *defined, FeatureService(name="all", features=defined)])
    applied = time.perf_counter()
    store.materialize(datetime(2020, 1, 1, tzinfo=timezone.utc), datetime.now(timezone.utc))
    ended = time.perf_counter()
    print(json.dumps({"apply_s": round(applied - began, 2), "materialize_s": round(ended - applied, 2)}))


if __name__ == "__main__":
    main()
