"""Detectors: motion on made frames, weights by name, real YOLO on real video."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SHARED
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.distillers.optdistill import detect as detect_module
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


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def saved_zip(content, path):
    torch.save(content, path)


def saved_before_torch_1_6(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def saved_by_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [saved_zip, saved_before_torch_1_6, saved_by_pickle])
@pytest.mark.parametrize("around", [lambda it: {"model": it}, lambda it: it])
def test_weights_that_execute_code_are_refused_before_it_runs(tmp_path, monkeypatch, save, around):
    from ultralytics.nn import tasks

    monkeypatch.setattr(tasks, "SAFE_LOAD", False)  # as where ultralytics was imported before
    monkeypatch.setenv("ULTRALYTICS_SAFE_LOAD", "false")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker, path = tmp_path / "marker", tmp_path / "some.pt"
    save(around(Malicious(marker)), path)
    with pytest.raises(VddError, match=r"some\.pt: refused: loading it may execute (posix|nt)\.mkdir") as refused:
        detector_named(str(path)).labels()
    assert "\n" not in str(refused.value) and not marker.exists()
    pickle.loads(pickle.dumps(Malicious(marker)))
    assert marker.exists()  # it does what it says


def test_genuine_pt_weights_are_loaded_safely(tmp_path, monkeypatch):
    """An untrained network as ultralytics saves it: it finds nothing, but it runs, and it has labels."""
    detect_module._ultralytics(offline=True)
    from ultralytics import YOLO
    from ultralytics.nn import tasks

    YOLO("yolov5n.yaml", verbose=False).save(tmp_path / "genuine.pt")
    monkeypatch.setattr(tasks, "SAFE_LOAD", False)
    unsafe = []
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: unsafe.append(not k.get("weights_only")) or real(*a, **k))
    detector = detector_named(str(tmp_path / "genuine.pt"))
    assert detector.labels() == [str(label) for label in range(80)]
    assert detector(np.zeros((1, 64, 64, 3), np.uint8)) == []
    assert unsafe == [False]


def test_other_formats_and_damaged_weights_are_refused_in_one_line(tmp_path):
    for name in ("a.torchscript", "a.engine", "a.yaml", "a.pth"):
        (tmp_path / name).write_bytes(b"weights")
        with pytest.raises(VddError, match=rf"{name}: weights end in \.onnx or \.pt"):
            detector_named(str(tmp_path / name))
    for data in (b"", b"no weights", b"PK\x03\x04" + bytes(50)):
        (tmp_path / "a.pt").write_bytes(data)
        detect_module._yolo.cache_clear()
        with pytest.raises(VddError, match=r"a\.pt: ultralytics cannot load these weights") as refused:
            detector_named(str(tmp_path / "a.pt")).labels()
        assert "\n" not in str(refused.value)
