"""Makes the ONNX models that the tests of seawall-model read, and what their makers answer for 200 rows.

Run it in an environment with `requirements.txt`: `python tests/models/export.py`. Every model learns from the same
seeded numbers. `NAME.onnx` is the model, `NAME.json` has the columns, the rows (null for missing) and the
probabilities of the positive class by the library that trained it, not by any ONNX runtime. The models of `broken`
are what Seawall must refuse.
"""

import json
import pathlib

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType as LightgbmFloat
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

HERE = pathlib.Path(__file__).parent
COLUMNS = ["amount", "count", "age", "ratio", "kind"]
OPSET = {"": 18, "ai.onnx.ml": 3}
ROWS = 200


def make_rows(count, missing):
    """Rows and labels; `missing` of the numbers are NaN, `kind` (a category code) never is."""
    random = np.random.default_rng(7)
    rows = np.column_stack([
        random.lognormal(3, 1, count),
        random.poisson(3, count),
        random.uniform(18, 90, count),
        random.normal(0, 1, count),
        random.integers(0, 5, count),
    ])
    odds = 0.8 * rows[:, 3] + 0.02 * (rows[:, 2] - 50) + 0.3 * (rows[:, 1] - 3) + 0.9 * (rows[:, 4] == 2) - 0.8
    label = random.uniform(size=count) < 1 / (1 + np.exp(-odds))
    rows[:, :4][random.uniform(size=(count, 4)) < missing] = np.nan
    return rows.astype(np.float32), label.astype(np.int64)


def write(name, model, rows, probability):
    """Writes one model and what its maker answers."""
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    listed = [[None if np.isnan(value) else float(value) for value in row] for row in rows]
    expected = {"columns": COLUMNS, "rows": listed, "probability": [float(p) for p in probability]}
    (HERE / f"{name}.json").write_text(json.dumps(expected) + "\n")


def export_sklearn(name, model, missing=0.0, zipmap=False, inputs=None):
    """Trains and exports a scikit-learn classifier."""
    rows, label = make_rows(2000, missing)
    model.fit(rows, label)
    inputs = inputs or [("input", FloatTensorType([None, len(COLUMNS)]))]
    options = {id(model): {"zipmap": zipmap}}
    exported = convert_sklearn(model, name, inputs, options=options, target_opset=OPSET)
    write(name, exported, rows[:ROWS], model.predict_proba(rows[:ROWS])[:, 1])


def export_lightgbm(name, missing, zipmap, categories=None):
    """Trains and exports a LightGBM classifier."""
    rows, label = make_rows(2000, missing)
    model = lightgbm.LGBMClassifier(
        n_estimators=30, num_leaves=15, random_state=7, n_jobs=1, deterministic=True, verbose=-1
    )
    model.fit(rows, label, categorical_feature=categories or [])
    inputs = [("input", LightgbmFloat([None, len(COLUMNS)]))]
    exported = convert_lightgbm(model, name, inputs, zipmap=zipmap, target_opset=15)
    write(name, exported, rows[:ROWS], model.predict_proba(rows[:ROWS])[:, 1])


def export_columns():
    """A pipeline that takes one input per column."""
    encode = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2, 3]),
        ("kind", OneHotEncoder(handle_unknown="ignore"), [4]),
    ])
    inputs = [(name, FloatTensorType([None, 1])) for name in COLUMNS[:4]] + [("kind", Int64TensorType([None, 1]))]
    model = make_pipeline(encode, LogisticRegression(random_state=7))
    export_sklearn("logistic_columns", model, missing=0.05, inputs=inputs)


def graph(name, nodes, features=5, inputs=None, output=(None, 2), initializers=()):
    """Writes a small graph of our own to `broken`."""
    inputs = inputs or [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, features])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, list(output))]
    body = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=9)
    (HERE / "broken" / f"{name}.onnx").write_bytes(model.SerializeToString())


def weights(features, outputs, value=0.1):
    """A constant matrix named `w`."""
    return helper.make_tensor("w", TensorProto.FLOAT, [features, outputs], [value] * (features * outputs))


def export_broken():
    """Models that Seawall must refuse, each for one reason."""
    (HERE / "broken").mkdir(exist_ok=True)
    product = helper.make_node("MatMul", ["input", "w"], ["score"])
    sigmoid = helper.make_node("Sigmoid", ["score"], ["probabilities"])
    graph("three_features", [product, sigmoid], 3, output=(None, 1), initializers=[weights(3, 1)])
    graph("three_classes", [product, sigmoid], output=(None, 3), initializers=[weights(5, 3)])
    graph("not_probability", [helper.make_node("MatMul", ["input", "w"], ["probabilities"])],
          output=(None, 1), initializers=[weights(5, 1, 50.0)])
    graph("nan", [product, helper.make_node("Neg", ["score"], ["negative"]),
                  helper.make_node("Abs", ["negative"], ["distance"]),
                  helper.make_node("Neg", ["distance"], ["below"]),
                  helper.make_node("Sqrt", ["below"], ["probabilities"])],
          output=(None, 1), initializers=[weights(5, 1)])
    graph("dangling", [helper.make_node("Sigmoid", ["nowhere"], ["probabilities"])], output=(None, 1))
    named = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in COLUMNS[:4] + ["colour"]]
    joined = helper.make_node("Concat", COLUMNS[:4] + ["colour"], ["input"], axis=1)
    graph("other_names", [joined, product, sigmoid], inputs=named, output=(None, 1), initializers=[weights(5, 1)])
    text = [helper.make_tensor_value_info("input", TensorProto.STRING, [None, 5])]
    graph("text_input", [helper.make_node("Identity", ["input"], ["probabilities"])], inputs=text, output=(None, 1))
    tree = dict(
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[1.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[9, 0, 0],
        class_treeids=[0, 0], class_nodeids=[1, 2], class_ids=[0, 0], class_weights=[0.2, 0.8],
        classlabels_int64s=[0, 1], post_transform="NONE",
    )
    ensemble = helper.make_node("TreeEnsembleClassifier", ["input"], ["label", "probabilities"],
                                domain="ai.onnx.ml", **tree)
    graph("tree_leads_nowhere", [ensemble])
    tree["nodes_falsenodeids"] = [0, 0, 0]
    ensemble = helper.make_node("TreeEnsembleClassifier", ["input"], ["label", "probabilities"],
                                domain="ai.onnx.ml", **tree)
    graph("tree_in_circles", [ensemble])
    rows, label = make_rows(300, 0.0)
    inputs = [("input", FloatTensorType([None, len(COLUMNS)]))]
    model = make_pipeline(StandardScaler(), SVC(probability=True, random_state=7)).fit(rows, label)
    exported = convert_sklearn(model, "svm", inputs, options={"zipmap": False}, target_opset=OPSET)
    (HERE / "broken" / "svm.onnx").write_bytes(exported.SerializeToString())


def main():
    """Exports everything."""
    export_sklearn("logistic", make_pipeline(StandardScaler(), LogisticRegression(random_state=7)))
    export_sklearn("logistic_zipmap", make_pipeline(StandardScaler(), LogisticRegression(random_state=7)), zipmap=True)
    export_columns()
    export_sklearn("gradient_boosting", GradientBoostingClassifier(n_estimators=30, random_state=7))
    export_sklearn("random_forest", RandomForestClassifier(n_estimators=20, max_depth=5, random_state=7))
    export_lightgbm("lightgbm", missing=0.05, zipmap=False)
    export_lightgbm("lightgbm_zipmap", missing=0.0, zipmap=True)
    export_lightgbm("lightgbm_categories", missing=0.0, zipmap=False, categories=[4])
    export_broken()


if __name__ == "__main__":
    main()
