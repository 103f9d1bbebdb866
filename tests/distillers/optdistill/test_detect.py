"""Detectors: motion on made frames, weights by name, real YOLO on real video."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SHARED
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.distillers.optdistill.boxes import overlap
from vddlib.distillers.optdistill.detect import Motion, Yolo, detect, detector_named


def test_motion_finds_what_moves():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 5, (3, 60, 80, 3)).astype(np.uint8)
    for t in range(3):
        frames[t, 20:36, 30 + 2 * t : 46 + 2 * t] = 200
    found = Motion()(frames)
    assert len(found) >= 1 and max(overlap(one.box, (30, 20, 20, 16)) for one in found) > 0.4
    assert sum(one.confidence for one in found) <= 1 + 1e-6
    assert Motion()(np.repeat(frames[:1], 3, 0)) == []


def test_detectors_by_name(tmp_path, monkeypatch):
    (tmp_path / "mine.onnx").write_bytes(b"weights")
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    assert detector_named("motion") == Motion()
    mine = detector_named("mine.onnx", 0.4)
    assert mine == Yolo(weights=str(tmp_path / "mine.onnx"), confidence=0.4)
    assert (
        detector_named("absent.onnx, mine.onnx, yolov5nu.pt", 0.4) == mine
    )  # the first that lies here; nothing is fetched
    before = mine.key()
    (tmp_path / "mine.onnx").write_bytes(b"others")
    assert mine.key() != before  # other weights are other boxes
    for name in ("somewhere/else.onnx", "else.onnx", "somewhere/else.pt"):
        with pytest.raises(VddError, match="no such weights"):
            detector_named(name)


def test_weights_are_fetched_once_before_any_process_needs_them(monkeypatch):
    from ultralytics.utils import downloads

    asked = []

    def fetch(file):
        asked.append(file)
        Path(file).write_bytes(b"published")

    monkeypatch.setattr(downloads, "attempt_download_asset", fetch)
    first, again = detector_named("yolov5su.pt"), detector_named("mine.onnx, yolov5su.pt")
    assert first == again and first.key() == again.key() and asked == [first.weights]
    monkeypatch.setattr(downloads, "attempt_download_asset", lambda file: None)
    with pytest.raises(VddError, match=r"yolov9x.pt: no such weights"):
        detector_named("yolov9x.pt")


def test_yolo_finds_people_in_real_videos(real_data):
    weights = SHARED / "weights" / "yolov5n_coco.onnx"
    if not weights.is_file():
        pytest.skip("the detector's weights are not here (../shared/weights/yolov5n_coco.onnx)")
    threads, openmp = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    files = sorted(real_data.glob("ucf10/UCF-101/*/*"))[::90]
    found = [detect(path, detector_named(str(weights), 0.25)) for path in files]
    people = [one for f in found for one in f["found"] if one["label"] == "person"]
    assert sum(any(one["label"] == "person" for one in f["found"]) for f in found) >= len(files) // 3
    assert torch.get_num_threads() == threads and os.environ.get("OMP_NUM_THREADS") == openmp
    for one in people:
        x, y, w, h = one["box"]
        assert w > 0 and h > 0 and x > -2 and y > -2 and x + w < 325 and y + h < 245 and 0.25 <= one["confidence"] <= 1
    with pytest.raises(BrokenVideo):
        detect(real_data / "nothing.avi", detector_named(str(weights)))
