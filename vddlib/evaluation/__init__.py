"""Evaluation: students learn from a set under a protocol, and are measured on real test clips."""

from vddlib.evaluation.evaluate import Report, evaluate, evaluate_each, held_out, teacher_of
from vddlib.evaluation.fair import FAIR, Setting, fair, fair_teacher, held_out_fair, setting
from vddlib.evaluation.metrics import metrics, predict
from vddlib.evaluation.protocols import PROTOCOLS, Protocol, protocol

__all__ = [
    "FAIR",
    "PROTOCOLS",
    "Protocol",
    "Report",
    "Setting",
    "evaluate",
    "evaluate_each",
    "fair",
    "fair_teacher",
    "held_out",
    "held_out_fair",
    "metrics",
    "predict",
    "protocol",
    "setting",
    "teacher_of",
]
