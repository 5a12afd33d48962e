"""Texts, names and dependencies."""

import json
from pathlib import Path

import pytest

from modelyard_admission import scan
from modelyard_contracts.admission import ScanReport, ScanVerdict

CARD = "4111 1111 1111 1111"  # a test number that no bank issues
IBAN = "GB82 WEST 1234 5698 7654 32"  # the example of ISO 13616


def _scan(folder: Path, name: str, text: str) -> ScanReport:
    (folder / name).write_text(text, "utf-8")
    return scan(folder)


def _rules(report: ScanReport) -> set[str]:
    return {finding.rule for _, finding in report.findings}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n",
        "aws: AKIA" + "ABCDEFGHIJKLMNOP\n",
        "use hf_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5\n",
        "password = 'xK9" + "#mQ2$vL7@pR4!zT'\n",
    ],
    ids=["private key", "AWS", "Hugging Face", "password"],
)
def test_a_secret_is_found_and_not_repeated(tmp_path: Path, text: str) -> None:
    report = _scan(tmp_path, "README.md", f"# Model\n\n{text}")

    assert report.verdict is ScanVerdict.SUSPICIOUS
    assert _rules(report) == {"secret"}
    assert text.split()[-1] not in report.model_dump_json()


@pytest.mark.parametrize(
    "text", [f"card {CARD}\n", f"account {IBAN}\n", "\n".join(f"user{n}@mail.example" for n in range(5))]
)
def test_personal_data_are_found(tmp_path: Path, text: str) -> None:
    assert _rules(_scan(tmp_path, "train.csv", text)) == {"personal-data"}


@pytest.mark.parametrize(
    "text",
    [
        "ask team@models.example or owner@models.example",
        "id 4111 1111 1111 1112 fails its check digit",
        "0.4111111111111111\n0.5105105105105100\n",
        "password = 'aaaaaaaaaaaaaaaaaaaa'",
    ],
    ids=["contacts", "no card", "fractions", "placeholder"],
)
def test_ordinary_texts_pass(tmp_path: Path, text: str) -> None:
    report = _scan(tmp_path, "README.md", f"# Model\n\n{text}\n")

    assert report.verdict is ScanVerdict.SAFE_FORMAT, report.findings


@pytest.mark.parametrize(
    ("config", "verdict"),
    [
        ({"model_type": "bert"}, ScanVerdict.SAFE_FORMAT),
        ({"auto_map": {"AutoModel": "modeling.Model"}}, ScanVerdict.SUSPICIOUS),
        ({"chat_template": "{{ messages[0].content }}"}, ScanVerdict.SAFE_FORMAT),
        ({"chat_template": "{{ cycler.__init__.__globals__.os.popen('id') }}"}, ScanVerdict.MALICIOUS),
        ({"chat_template": [{"name": "a", "template": "{{ x|attr('y') }}"}]}, ScanVerdict.MALICIOUS),
    ],
)
def test_configurations_of_transformers(tmp_path: Path, config: object, verdict: ScanVerdict) -> None:
    assert _scan(tmp_path, "config.json", json.dumps(config)).verdict is verdict


def test_risky_calls_of_source_code_are_pointed_out_with_their_line(tmp_path: Path) -> None:
    report = _scan(tmp_path, "predict.py", "import subprocess\n\n\ndef predict(rows):\n    return eval(rows)\n")

    places = {finding.rule: finding.place for _, finding in report.findings}
    assert report.verdict is ScanVerdict.SUSPICIOUS
    assert places == {"python-code": None, "python-risky-import": "line 1", "python-risky-call": "line 5"}


@pytest.mark.parametrize(
    "name", ["mоdel.txt", "model\u202etxt.md", "ﬁle.txt"], ids=["cyrillic", "direction", "ligature"]
)
def test_a_name_that_looks_like_another_is_malicious(tmp_path: Path, name: str) -> None:
    assert _scan(tmp_path, name, "words\n").verdict is ScanVerdict.MALICIOUS


@pytest.mark.parametrize("name", ["modèle.txt", "模型.txt", "модель.txt"])
def test_a_name_in_one_alphabet_passes(tmp_path: Path, name: str) -> None:
    assert _scan(tmp_path, name.rpartition(".")[0], "words\n").verdict is ScanVerdict.SAFE_FORMAT


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").symlink_to("/etc/hostname")

    report = scan(tmp_path)

    assert report.verdict is ScanVerdict.INCOMPLETE
    assert _rules(report) == {"unreadable"}
