"""Train, record, register and load a model with the client of MLflow, which knows nothing of Modelyard.

Needs mlflow-skinny, scikit-learn, skops and pandas, and MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN.
"""

import mlflow
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

found = load_breast_cancer(as_frame=True)
rows, truth = found.data.iloc[:, :6], found.target.map({0: "malignant", 1: "benign"})
rows_fit, rows_held, truth_fit, truth_held = train_test_split(rows, truth, random_state=1)

mlflow.set_experiment("tumours")
best = None
for strength in (0.01, 0.1, 1.0):
    with mlflow.start_run(run_name=f"C={strength}"):
        mlflow.log_param("C", strength)
        for step, iterations in enumerate((50, 200, 800)):
            model = LogisticRegression(C=strength, max_iter=iterations).fit(rows_fit, truth_fit)
            mlflow.log_metric("accuracy", model.score(rows_held, truth_held), step=step)
        mlflow.log_text(str(model.coef_.tolist()), "coefficients.txt")
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=rows_fit,
            serialization_format="skops",
            pip_requirements=["scikit-learn", "skops"],
        )
    if best is None or model.score(rows_held, truth_held) > best[0]:
        best = (model.score(rows_held, truth_held), info.model_uri)

version = mlflow.register_model(best[1], "tumours")
client = mlflow.MlflowClient()
client.set_registered_model_alias("tumours", "candidate", version.version)
loaded = mlflow.sklearn.load_model("models:/tumours@candidate")
print(mlflow.search_runs(experiment_names=["tumours"], order_by=["metrics.accuracy DESC"])[["run_id", "params.C"]])
print("version", version.version, "is", version.tags["modelyard.stage"], "and answers", loaded.predict(rows_held)[:3])
