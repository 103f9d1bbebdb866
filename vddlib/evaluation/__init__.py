"""Evaluation: students learn from a set under a protocol, and are measured on real test clips."""

from vddlib.evaluation.evaluate import Report, evaluate, evaluate_each, held_out, teacher_of
from vddlib.evaluation.fair import FAIR, fair, fair_teacher
from vddlib.evaluation.metrics import metrics, predict
from vddlib.evaluation.protocols import PROTOCOLS, Protocol, protocol

__all__ = [
    "FAIR",
    "PROTOCOLS",
    "Protocol",
    "Report",
    "evaluate",
    "evaluate_each",
    "fair",
    "fair_teacher",
    "held_out",
    "metrics",
    "predict",
    "protocol",
    "teacher_of",
]
