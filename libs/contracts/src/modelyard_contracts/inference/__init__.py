"""The Open Inference Protocol (V2, JSON): the one codec of requests and answers, used by router and model server.

A request names one tensor per column, or all columns in two compact tensors (`num` and `cat`; see codec.py). Which form
a request has follows from the signature: the compact tensors never have the name of a column.
"""

from modelyard_contracts.inference.answer import Answer, OutputTensor, decode_answer, encode_answer, outputs_of
from modelyard_contracts.inference.codec import InferenceCodec, Rows
from modelyard_contracts.inference.errors import InvalidAnswer, InvalidRequest, TooManyRows
from modelyard_contracts.inference.members import (
    MemberAnswer,
    MemberAnswers,
    decode_members,
    encode_members,
    versions_segment,
)
from modelyard_contracts.inference.request import InferenceRequest, Tensor, decode_request
from modelyard_contracts.inference.timestamps import parse_timestamp

__all__ = [
    "Answer",
    "InferenceCodec",
    "InferenceRequest",
    "InvalidAnswer",
    "InvalidRequest",
    "MemberAnswer",
    "MemberAnswers",
    "OutputTensor",
    "Rows",
    "Tensor",
    "TooManyRows",
    "decode_answer",
    "decode_members",
    "decode_request",
    "encode_answer",
    "encode_members",
    "outputs_of",
    "parse_timestamp",
    "versions_segment",
]
