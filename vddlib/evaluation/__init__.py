"""Evaluation: students learn from a set under a protocol, and are measured on real test clips."""

from vddlib.evaluation.evaluate import Report, evaluate, evaluate_each, held_out, teacher_of
from vddlib.evaluation.metrics import metrics, predict
from vddlib.evaluation.protocols import PROTOCOLS, Protocol, protocol

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "Report",
    "evaluate",
    "evaluate_each",
    "held_out",
    "metrics",
    "predict",
    "protocol",
    "teacher_of",
]
