"""A version that streams, for tests of the model server and of the router.

file = write_echo_version(folder, model="echo", pause_s=0.01, fail_after=3)
python -m modelyard_serving --model-dir FOLDER --digest DIGEST
"""

from pathlib import Path
from typing import Any, Final

from modelyard_contracts.manifest import ManifestFile, ModelManifest, TrainingLineage
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_flavours import Echo, save_model

TEXT: Final = Signature(
    input="text",
    columns=(Column(name="text", type=ColumnType.TEXT),),
    output=Output(task=Task.TEXT, name="reply"),
)


def write_echo_version(folder: Path, model: str = "echo", **behaviour: Any) -> ManifestFile:
    """Write a version of the flavour `echo` with its manifest into `folder`. behaviour: fields of Echo."""
    files = save_model("echo", Echo(**behaviour), folder)
    file = ManifestFile.write(
        ModelManifest(
            model=model,
            task=TEXT.task,
            flavour="echo",
            files=files,
            signature=TEXT,
            feature_schema_id=new_schema_id(TEXT),
            training=TrainingLineage(recipe="echo"),
        )
    )
    (folder / "manifest.json").write_bytes(file.data)
    return file
