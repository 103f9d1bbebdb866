"""What to follow: boxes in the first frame, by YOLO (through ultralytics) or by motion alone."""

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from vddlib.core import cache
from vddlib.core.errors import VddError, first_line
from vddlib.core.files import file_sha256
from vddlib.datasets import video

# The formats that are read without executing anything in them; TensorRT's, TorchScript's and others hold programs.
WEIGHT_FORMATS = (".onnx", ".pt")
NO_LABEL = "*"  # of a detection by motion, which tells nothing apart: it fits whatever labels are wanted


class Detection(BaseModel):
    """One detection: ``box`` (x, y, width, height) in pixels of the frame, its label and confidence (0 to 1)."""

    model_config = ConfigDict(frozen=True)

    box: tuple[float, float, float, float]
    label: str
    confidence: float


class Yolo(BaseModel):
    """A YOLO network by ultralytics, on the first frame; on the CPU, since many processes detect at once."""

    model_config = ConfigDict(frozen=True)

    weights: str
    confidence: float = 0.25
    frames: int = 1

    def __call__(self, frames: np.ndarray) -> list[Detection]:
        """Boxes in the first of ``frames uint8 [T, H, W, 3]``, most confident first."""
        picture = np.ascontiguousarray(frames[0][..., ::-1])
        with _threads_kept():
            network = _yolo(self.weights)
            result = network.predict(picture, conf=self.confidence, verbose=False, imgsz=640, device="cpu")[0]
        boxes = result.boxes.cpu().numpy()
        return [
            Detection(box=(x0, y0, x1 - x0, y1 - y0), label=result.names[int(kind)], confidence=float(sure))
            for (x0, y0, x1, y1), kind, sure in zip(boxes.xyxy.tolist(), boxes.cls, boxes.conf, strict=True)
        ]

    def labels(self) -> list[str] | None:
        """What it can tell apart."""
        with _threads_kept():
            return list(_yolo(self.weights).names.values())

    def key(self) -> dict[str, Any]:
        """What the boxes depend on: the bytes of the weights, wherever they lie."""
        weights = file_sha256(Path(self.weights))
        return {"weights": weights, "confidence": self.confidence, "ultralytics": version("ultralytics")}


class Motion(BaseModel):
    """Where the first frames differ: needs no weights, and knows no labels. For still cameras."""

    model_config = ConfigDict(frozen=True)

    frames: int = 3
    least: float = 0.002  # share of the frame that a box must cover

    def __call__(self, frames: np.ndarray) -> list[Detection]:
        """Connected regions that change between the first frame and the others, the one that changes most first."""
        import cv2

        height, width = frames.shape[1:3]
        grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]).astype(np.float32)
        change = np.abs(grey[1:] - grey[0]).max(0)
        level = max(10.0, 4 * float(change.mean()))  # noise of a camera stays below ten of 255
        gap = round(min(width, height) / 4) | 1  # an even surface changes at its two edges only: close what is between
        moving = cv2.morphologyEx((change > level).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
        count, regions, stats, _ = cv2.connectedComponentsWithStats(moving)
        energy = np.bincount(regions.ravel(), change.ravel(), count)
        found = [
            Detection(
                box=tuple(map(float, stats[i, :4])), label=NO_LABEL, confidence=float(energy[i] / energy[1:].sum())
            )
            for i in range(1, count)
            if stats[i, cv2.CC_STAT_AREA] >= self.least * width * height
        ]
        return sorted(found, key=lambda detection: -detection.confidence)

    def labels(self) -> list[str] | None:
        """None: it tells nothing apart."""
        return None

    def key(self) -> dict[str, Any]:
        """What the boxes depend on."""
        return {"motion": self.model_dump()}


Detector = Yolo | Motion


def detector_named(name: str, confidence: float = 0.25) -> Detector:
    """The detector that a parameter names: 'motion', or the weights of a YOLO network.

    Weights are the path of a file, a file in ``$VDD_WEIGHTS``, or a name that ultralytics fetches (yolov5su.pt). Of several
    names with commas between, the first that lies here, else the last is fetched. Raises VddError where there are no such
    weights, or where they are neither ONNX nor a .pt of ultralytics.
    """
    if name == "motion":
        return Motion()
    names = [part.strip() for part in name.split(",")]
    nearby = Path(os.environ.get("VDD_WEIGHTS", "."))
    places = (place for file in names for place in (Path(file), nearby / file))
    path = next((place for place in places if place.is_file()), None) or _fetched(names[-1])
    if path.suffix not in WEIGHT_FORMATS:
        raise VddError(f"{path}: weights end in {' or '.join(WEIGHT_FORMATS)}; export the network to ONNX")
    return Yolo(weights=str(path), confidence=confidence)


def _fetched(name: str) -> Path:
    """The weights that ultralytics publishes under `name`, in the cache: fetched once, before any process needs them."""
    place = cache.folder() / "weights" / name
    refusal = f"{name}: no such weights; name a file, a model that ultralytics publishes (yolov5su.pt), or 'motion'"
    if Path(name).name != name or not name.endswith(".pt"):
        raise VddError(refusal)
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with _threads_kept(), FileLock(f"{place}.lock"):
            _ultralytics(offline=False)
            from ultralytics.utils.downloads import attempt_download_asset

            try:
                attempt_download_asset(str(place))
            except Exception as error:
                raise VddError(f"{refusal} ({type(error).__name__}: {first_line(error, 150)})") from None
    if not place.is_file():
        raise VddError(refusal)
    return place


def detect(path: Path, detector: Detector) -> dict[str, Any]:
    """Detections in one video, as plain JSON: its size and what was found. Raises BrokenVideo."""
    frames = np.stack(list(islice(video.stream(path), detector.frames)))
    found = detector(frames) if len(frames) >= detector.frames else []
    return {
        "size": [frames.shape[2], frames.shape[1]],
        "found": [detection.model_dump(mode="json") for detection in found],
    }


def _ultralytics(offline: bool) -> None:
    """Import it so that it neither reports nor installs; its settings lie in the cache and not in the user's home."""
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache.folder() / "ultralytics"))
    if offline:
        os.environ.setdefault("YOLO_OFFLINE", "true")
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    from ultralytics.utils import SETTINGS
    from ultralytics.utils.events import events

    if SETTINGS.get("sync"):
        SETTINGS.update({"sync": False})
    events.enabled = False


def _only_safe_loading() -> None:
    """Make ultralytics read a .pt with torch's restricted unpickler, whatever the environment asks for.

    By default it unpickles them, which executes whatever the file says. The restricted unpickler makes tensors and the layers
    of torch and ultralytics, and stops at the first name of anything else. It guards against files that execute code, not
    against errors in torch's own reader, nor against networks that find what they should not. Raises VddError where the
    installed ultralytics cannot do this.
    """
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "true"
    from ultralytics.nn import tasks

    if not (hasattr(tasks, "SAFE_LOAD") and getattr(getattr(tasks, "_SafeLoad", None), "SUPPORTED", False)):
        raise VddError(
            "this ultralytics or torch cannot read .pt without executing them: update both, or use .onnx weights"
        )
    tasks.SAFE_LOAD = True  # the variable was read when ultralytics was imported, maybe before this


@lru_cache(maxsize=1)
def _yolo(weights: str):
    """The network, loaded once per process. Raises VddError where it cannot be, or where a .pt would execute code."""
    _ultralytics(offline=True)
    from ultralytics import YOLO

    if Path(weights).suffix != ".onnx":
        _only_safe_loading()
    try:
        return YOLO(weights, task="detect")
    except Exception as error:
        # Torch names what it refused in the cause, as in "unsupported GLOBAL posix.system whose module posix is blocked".
        told = str(error.__cause__) if isinstance(error.__cause__, pickle.UnpicklingError) else ""
        if refused := re.search(r"(?:GLOBAL|class|function) ([\w.]+\.\w+)", told):
            raise VddError(
                f"{weights}: refused: loading it may execute {refused[1]}, which is no layer of a network that ultralytics "
                "knows; where you trust the file, export it to ONNX"
            ) from None
        raise VddError(f"{weights}: ultralytics cannot load these weights ({first_line(error, 150)})") from None


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Ultralytics sets the threads of torch, OpenCV and OpenMP for the whole process: others' bits depend on them."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        os.environ.pop("OMP_NUM_THREADS", None)
        if before[2] is not None:
            os.environ["OMP_NUM_THREADS"] = before[2]
