"""Trains a LightGBM classifier for Seawall. Needs: lightgbm, onnxmltools, pandas, pyarrow, scikit-learn."""

import json
import os
import pathlib

import lightgbm
import pandas
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import roc_auc_score

job_path = pathlib.Path(os.environ["SEAWALL_JOB"])
out = pathlib.Path(os.environ["SEAWALL_OUT"])
job = json.loads(job_path.read_text())
rows = pandas.read_parquet(job_path.parent / job["training"]["file"])

names = [column["name"] for column in job["inputs"]]
categorical = [at for at, column in enumerate(job["inputs"]) if column["type"] == "categorical"]
inputs, label = rows[names].to_numpy("float32"), rows["label"].to_numpy("int64")

# The newest tenth tells when to stop. The rows come oldest first.
split = len(rows) * 9 // 10
model = lightgbm.LGBMClassifier(
    n_estimators=500, learning_rate=0.05, num_leaves=31, random_state=job["seed"] % 2**31,
    deterministic=True, force_row_wise=True, n_jobs=1, verbose=-1,
)
stop = lightgbm.early_stopping(30, verbose=False)
model.fit(
    inputs[:split], label[:split], categorical_feature=categorical,
    eval_X=inputs[split:], eval_y=label[split:], callbacks=[stop],
)

# Without a name the exporter draws one at random, and equal jobs would give different models.
takes = [("input", FloatTensorType([None, len(names)]))]
exported = convert_lightgbm(model, name=job["model"]["name"], initial_types=takes, zipmap=False)
(out / "model.onnx").write_bytes(exported.SerializeToString())
auc = roc_auc_score(label[split:], model.predict_proba(inputs[split:])[:, 1])
(out / "metrics.json").write_text(json.dumps({"auc": auc, "trees": model.best_iteration_}))
print(f"{split} rows, {model.best_iteration_} trees, AUC {auc:.4f} on the newest {len(rows) - split}")
