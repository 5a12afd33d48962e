"""The Open Inference Protocol codec: equal rows from every form, and errors that name input, shape and type."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts.inference import (
    Answer,
    InferenceCodec,
    InvalidAnswer,
    InvalidRequest,
    OutputTensor,
    Rows,
    TooManyRows,
    decode_answer,
    decode_request,
    encode_answer,
)
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task

BINARY = Output(task=Task.BINARY, classes=("no", "yes"))
MIXED = Signature(
    columns=(
        Column(name="plan", type=ColumnType.CATEGORY),
        Column(name="age", type=ColumnType.NUMBER),
        Column(name="visits", type=ColumnType.INTEGER, nullable=False),
        Column(name="paid", type=ColumnType.BOOLEAN),
        Column(name="since", type=ColumnType.TIMESTAMP),
        Column(name="note", type=ColumnType.TEXT, max_length=10),
    ),
    output=BINARY,
)
CODEC = InferenceCodec(MIXED)
ROWS = Rows(2, [1.5, 3.0, 1.0, 86_400.0, None, 4.0, 0.0, None], ["basic", "hi", None, None])


def signature(*names: str) -> Signature:
    return Signature(columns=tuple(Column(name=name) for name in names), output=BINARY)


def tensor(name: str, datatype: str, data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def columns(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """ROWS as one tensor per column."""
    tensors = {
        "age": tensor("age", "FP64", [1.5, None]),
        "visits": tensor("visits", "INT64", [3, 4]),
        "paid": tensor("paid", "BOOL", [True, False]),
        "since": tensor("since", "BYTES", ["1970-01-02T00:00:00Z", None]),
        "plan": tensor("plan", "BYTES", ["basic", None]),
        "note": tensor("note", "BYTES", ["hi", None]),
    }
    return list((tensors | changes).values())


def read(inputs: Any, codec: InferenceCodec = CODEC, **fields: Any) -> Rows:
    body = json.dumps({"inputs": inputs, **fields}).encode()
    return codec.rows(decode_request(body, max_rows=100))


def refused(inputs: Any, codec: InferenceCodec = CODEC) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(inputs, codec)
    return caught.value


def test_columns_and_compact_tensors_give_the_same_rows() -> None:
    compact = [tensor("num", "FP64", ROWS.numeric, [2, 4]), tensor("cat", "BYTES", ROWS.texts, [2, 2])]
    assert read(columns()) == read(compact) == ROWS


def test_nested_rows_and_column_vectors_are_accepted() -> None:
    nested = [
        tensor("num", "FP64", [ROWS.numeric[:4], ROWS.numeric[4:]], [2, 4]),
        tensor("cat", "BYTES", [ROWS.texts[:2], ROWS.texts[2:]], [2, 2]),
    ]
    assert read(nested) == ROWS
    assert read(columns(age=tensor("age", "FP32", [[1.5], [None]], [2, 1]))) == ROWS


def test_timestamps_are_accepted_as_seconds() -> None:
    assert read(columns(since=tensor("since", "FP64", [86_400, None]))) == ROWS


def test_one_row_is_encoded_as_a_compact_request() -> None:
    numbers, texts = (1.5, 3.0, 1.0, None), ("basic", None)
    request = decode_request(CODEC.encode_row(numbers, texts), max_rows=1)
    assert CODEC.rows(request) == Rows(1, list(numbers), list(texts))


@pytest.mark.parametrize("names", [("num",), ("cat",), ("num", "cat"), ("num", "num_", "cat"), ("inputs", "name")])
def test_no_column_name_is_reserved(names: tuple[str, ...]) -> None:
    codec = InferenceCodec(signature(*names))
    rows = Rows(2, [float(i) for i in range(2 * len(names))], [])
    by_column = [tensor(name, "FP64", rows.numeric[i :: len(names)]) for i, name in enumerate(names)]
    compact = [tensor(codec.numeric_tensor, "FP64", rows.numeric, [2, len(names)])]
    assert read(by_column, codec) == read(compact, codec) == rows
    one = decode_request(codec.encode_row(rows.numeric[: len(names)], ()), max_rows=1)
    assert codec.rows(one).numeric == rows.numeric[: len(names)]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"age": tensor("age", "FP64", [1.0, 2.0], [2, 2])}, "age", r"input age \(FP64, shape \[2, 2\]\): the shape"),
        ({"age": tensor("age", "FP64", [1.0, 2.0, 3.0], [2])}, "age", "3 values; the shape needs 2"),
        ({"age": tensor("age", "FP64", [[1.0], [2.0]], [2])}, "age", "the nested data has another shape"),
        ({"age": tensor("age", "BYTES", ["a", "b"])}, "age", "the datatype must be FP64"),
        ({"age": tensor("age", "FP64", ["1", 2])}, "age", r"data\[0\] is a string; send finite numbers or null"),
        ({"age": tensor("age", "FP64", [True, 2])}, "age", r"data\[0\] is true or false"),
        ({"visits": tensor("visits", "INT64", [3, 44.7])}, "visits", r"data\[1\] is a number with a fraction"),
        ({"visits": tensor("visits", "UINT8", [3, -5])}, "visits", r"data\[1\] is out of range.*from 0 to 255"),
        ({"visits": tensor("visits", "INT8", [128, 1])}, "visits", r"data\[0\] is out of range"),
        ({"visits": tensor("visits", "INT64", [2**63, 1])}, "visits", r"data\[0\] is out of range"),
        ({"visits": tensor("visits", "FP64", [3.5, 1])}, "visits", "not a whole number"),
        ({"visits": tensor("visits", "INT64", [3, None])}, "visits", "null is not allowed"),
        ({"age": tensor("age", "FP32", [1e39, 1.0])}, "age", "out of range"),
        ({"paid": tensor("paid", "INT8", [1, 0])}, "paid", "the datatype must be BOOL"),
        ({"since": tensor("since", "BYTES", ["2026-01-31", None])}, "since", "no RFC 3339 timestamp"),
        ({"note": tensor("note", "BYTES", ["a text too long", None])}, "note", "15 characters; at most 10"),
        ({"age": tensor("age", "FP64", [1.0])}, "visits", "the number of rows differs"),
        ({"age": tensor("age", "FP64", [], [0])}, "age", r"shape \[0\]\): no rows"),
        ({"age": tensor("age", "FP64", [1.0], [1, 1, 1])}, "age", "the shape must be"),
        ({"age": tensor("age", "FP16", [1.0, 2.0])}, "age", "FP16"),
        ({"more": tensor("more", "FP64", [1.0, 2.0])}, "more", "not a column of this version"),
    ],
)
def test_an_input_that_breaks_the_signature_is_named(change: dict[str, Any], field: str, message: str) -> None:
    error = refused(columns(**change))
    assert error.field == field
    with pytest.raises(InvalidRequest, match=message):
        raise error


def test_nested_rows_that_contradict_the_shape_are_refused() -> None:
    codec = InferenceCodec(signature("a", "b", "c"))
    error = refused([tensor("num", "FP64", [[44, 20], [61.5, 20], [7, 1]], [2, 3])], codec)
    assert (error.field, "shape [2, 3]" in str(error)) == ("num", True)


def test_a_missing_or_repeated_input_is_named() -> None:
    assert refused(columns()[1:]).field == "age"
    assert refused([*columns(), columns()[0]]).field == "inputs"
    assert "shape [1, 1]" in str(refused([tensor("cat", "BYTES", [], [1, 0])], InferenceCodec(signature("age"))))


def test_booleans_of_the_compact_form_are_0_or_1() -> None:
    compact = [tensor("num", "FP64", [1, 1, 0.5, 0], [1, 4]), tensor("cat", "BYTES", [None, None], [1, 2])]
    assert refused(compact).field == "paid"


def test_null_parameters_are_accepted_and_ids_are_kept() -> None:
    request = decode_request(json.dumps({"inputs": columns(), "parameters": None, "id": "7"}).encode(), max_rows=2)
    assert (request.id, request.parameters, request.rows) == ("7", None, 2)


def test_too_many_rows_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(TooManyRows, match="101 rows"):
        read([tensor("num", "FP64", [], [101, 4])])


AGE = (ColumnType.NUMBER, ColumnType.TEXT)


def nest(depth: int) -> bytes:
    return b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":' + b"[" * depth + b"]" * depth + b"}]}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"[]", "must be an object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"inputs":1}', "inputs"),
        (b'{"inputs":[]}', "the list is empty"),
        (b'{"inputs":[{"name":"age"}]}', r"inputs\[0\]"),
        (b'{"inputs":[{"name":"age","shape":[-1],"datatype":"FP64","data":[]}]}', "the shape must be"),
        (b'{"inputs":[{"name":"age","shape":[],"datatype":"FP64","data":[]}]}', "the shape must be"),
        (b'{"inputs":[{"name":"age","shape":[1],"datatype":"BYTES","data":["\xff"]}]}', "not UTF-8"),
        (rb'{"inputs":[{"name":"age","shape":[1],"datatype":"BYTES","data":["\ud800"]}]}', "surrogate pair"),
        (rb'{"inputs":[{"name":"\udc00","shape":[1],"datatype":"BYTES","data":[""]}]}', "surrogate pair"),
        (b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[NaN]}]}', "not JSON"),
        (b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[1e999]}]}', "out of range"),
        (nest(3), "is an array"),
        (nest(200_000), "nested too deeply"),
        (b"[" * 200_000, "must be an object"),
        (b'{"inputs":[],"x":' + b'{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, message: str) -> None:
    codec = InferenceCodec(Signature(columns=(Column(name="age", type=AGE[b"BYTES" in body]),), output=BINARY))
    with pytest.raises(InvalidRequest, match=message):
        codec.rows(decode_request(body, max_rows=100))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["inputs", "name", "shape", "datatype", "data", "age"]), inner, max_size=5
            )
        ),
        max_leaves=20,
    )
)
def test_no_json_raises_anything_but_a_refusal(value: Any) -> None:
    for body in (
        json.dumps(value),
        json.dumps({"inputs": [{"name": "age", "shape": [1], "datatype": "FP64", "data": value}]}),
    ):
        try:
            rows = InferenceCodec(signature("age")).rows(decode_request(body.encode(), max_rows=100))
        except InvalidRequest as error:
            assert str(error)
        else:
            assert len(rows.numeric) == rows.size


def test_long_names_are_shortened_and_control_characters_removed() -> None:
    error = refused([*columns(), tensor("a\n" + "x" * 400, "FP64", [1.0, 2.0])])
    assert len(str(error)) < 200
    assert "\n" not in str(error)


def outputs(**data: list[Any]) -> list[OutputTensor]:
    return [OutputTensor(name, "", [], values) for name, values in data.items()]


def test_answers_of_every_task_are_read_back() -> None:
    body = encode_answer("m", "3", "sha256:0", outputs(**{"class": ["yes", "no"]}, scores=[0.2, 0.8, 0.6, 0.4]))
    assert decode_answer(body, MIXED, 2) == (
        "sha256:0",
        [Answer("yes", 0.8, (0.2, 0.8)), Answer("no", 0.4, (0.6, 0.4))],
    )
    three = MIXED.model_copy(update={"output": Output(task=Task.MULTICLASS, classes=("a", "b", "c"))})
    body = encode_answer("m", "3", "d", outputs(**{"class": ["b"]}, scores=[0.2, 0.5, 0.3]))
    assert decode_answer(body, three, 1)[1] == [Answer("b", 0.5, (0.2, 0.5, 0.3))]
    value = MIXED.model_copy(update={"output": Output(task=Task.REGRESSION)})
    assert decode_answer(encode_answer("m", "3", "d", outputs(value=[2.5])), value, 1)[1] == [Answer(score=2.5)]
    text = MIXED.model_copy(update={"output": Output(task=Task.TEXT)})
    assert decode_answer(encode_answer("m", "3", "d", outputs(text=["hi"])), text, 1)[1] == [Answer(text="hi")]


def test_an_answer_carries_the_request_id_and_identity() -> None:
    body = msgspec.json.decode(encode_answer("m", "3", "sha256:0", [], request_id="r1"))
    assert (body["model_name"], body["model_version"], body["id"]) == ("m", "3", "r1")
    assert body["parameters"] == {"digest": "sha256:0"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"outputs":[],"parameters":{}}',
        encode_answer("m", "3", "d", outputs(**{"class": ["yes"]}, scores=[0.2])),
        encode_answer("m", "3", "d", outputs(**{"class": [1.0]}, scores=[0.2, 0.8])),
        encode_answer("m", "3", "d", outputs(**{"class": ["yes"]}, scores=[0.2, None])),
    ],
)
def test_an_answer_that_does_not_fit_the_signature_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        decode_answer(body, MIXED, 1)
