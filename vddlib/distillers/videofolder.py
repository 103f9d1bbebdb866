"""A distilled set as a folder of videos: ours for others (Hugging Face's VideoFolder), and anybody's read back as a set.

    FOLDER/metadata.jsonl           a line per video: file_name, label, and soft_label where the set has some
    FOLDER/card.json                method, parameters, classes in the order of soft labels; other people's folders may lack it
    FOLDER/videos/CLASS/0000.mp4    H.264, 8 fps

Without `metadata.jsonl` (or `.csv`) the folder a video lies in is its label.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vddlib.core import files, parallel
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets import video
from vddlib.datasets.clips import Clips
from vddlib.datasets.folders import folders_with_videos, videos_in
from vddlib.datasets.geometry import Geometry
from vddlib.distillers.distilled import DistilledSet, stored_bytes
from vddlib.distillers.stored.contract import VIDEO_FPS
from vddlib.distillers.stored.mosaics import Mosaics

METADATA = "metadata.jsonl"
QUALITY = 10  # CRF: on real clips of 48x48 what is lost is below what a student notices; bytes are counted at CRF 23
UNKNOWN = "unknown"  # method of a set whose folder does not name one


class Item(NamedTuple):
    """A video of a folder: its file, its class, and its soft label, if it has one."""

    path: Path
    label: str
    soft: Any = None


def write_videofolder(made: DistilledSet, folder: Path, quality: int = QUALITY) -> Path:
    """Write a set as such a folder: `videos/`, `metadata.jsonl` and `card.json`.

    Videos that are stored as files are copied, all others are encoded as a person sees them, drawn once (what lies outside
    of 0 to 255 is cut off). Raises VddError where the folder already holds something.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise VddError(f"{folder} is not empty; name a new folder")
    stored = made.content.files() if made.content.stores_files else []
    stored = stored if len(stored) == len(made) else []  # of a set that is drawn tile by tile a file is no clip
    lines = []
    for i, label in enumerate(made.labels.tolist()):
        name = f"videos/{_folder_name(made.classes[label])}/{i:04d}.mp4"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = stored[i] if stored else video.encode_bytes(made.pixels[i], VIDEO_FPS, quality)
        files.write_atomic(folder / name, data)
        soft = {"soft_label": made.targets[i].tolist()} if made.targets.is_floating_point() else {}
        lines.append(json.dumps({"file_name": name, "label": made.classes[label], **soft}))
    files.write_atomic(folder / METADATA, "".join(f"{line}\n" for line in lines))
    facts = {"kind": made.content.kind, "classes": made.classes, "clips": len(made), "crf": None if stored else quality}
    files.write_json(folder / "card.json", {**made.card, **stored_bytes(made), **facts})
    return folder


def read_set(folder: Path, train: Clips) -> DistilledSet:
    """A distilled set of the classes of `train`: one that `DistilledSet.save` wrote, or any folder of videos.

    Videos may be of any length and size, all of them of the same size; a longer one than a clip is drawn from, as any video
    is. Raises VddError where the folder is neither, a label is no class of `train`, or a class has no video.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VddError(f"{folder}: no such folder")
    if (folder / "tensors.safetensors").is_file():
        return _fitting(DistilledSet.load(folder), train, folder)
    items = list(_items(folder))
    place = {name: label for label, name in enumerate(train.classes)}
    for item in items:
        if item.label not in place:
            raise VddError(f"{item.path}: {item.label!r} is no class of {train.dataset}")
    items.sort(key=lambda item: place[item.label])  # stable: within a class in the order of the folder
    if missing := [name for name in train.classes if name not in {item.label for item in items}]:
        raise VddError(f"{folder}: the class {missing[0]!r} of {train.dataset} has no video")
    labels = torch.tensor([place[item.label] for item in items])
    card = _card(folder, train, labels)
    content = _content([item.path for item in items], train)
    return DistilledSet(content, labels, train.classes, card, _targets(items, card, train, folder))


def geometry_of(folder: Path) -> Geometry | None:
    """How the clips of the set in a folder were cut, by its card; None where that does not say."""
    try:
        card = json.loads((Path(folder) / "card.json").read_text(encoding="utf-8"))
        return Geometry(**card["geometry"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):  # pydantic's errors are ValueErrors
        return None


def _fitting(made: DistilledSet, train: Clips, folder: Path) -> DistilledSet:
    """The set, whose clips are of the shape that `train` gives. Raises VddError for another."""
    ours, wanted = tuple(made.draw()[0].shape[2:]), (train.geometry.frames, *[train.geometry.size] * 2)
    if ours != wanted:
        shapes = [f"{frames} frames of {height}x{width}" for frames, height, width in (ours, wanted)]
        raise VddError(
            f"{folder} holds clips of {shapes[0]}, and {train.dataset} is cut to {shapes[1]}; ask for the same"
        )
    return made


def _items(folder: Path) -> Iterable[Item]:
    """The videos that a folder lists, or holds by class. Raises VddError where it does neither."""
    listed = next((folder / name for name in (METADATA, "metadata.csv") if (folder / name).is_file()), None)
    if listed is None:
        base = folder / "videos" if (folder / "videos").is_dir() else folder
        names = folders_with_videos(base)
        if not names:
            raise VddError(f"{folder}: neither a saved set, nor {METADATA}, nor a folder of videos for each class")
        for name in names:
            yield from (Item(path, name) for path in videos_in(base / name).values())
        return
    for number, row in enumerate(_rows(listed), 1):
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("file_name"), str)
            or not isinstance(row.get("label"), str)
        ):
            raise VddError(f"{listed}, row {number}: needs file_name and label, both texts")
        path = (folder / row["file_name"]).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise VddError(f"{listed}, row {number}: there is no video {row['file_name']} in the folder")
        yield Item(path, row["label"], row.get("soft_label"))


def _rows(listed: Path) -> list[Any]:
    try:
        text = listed.read_text(encoding="utf-8")
        return (
            list(csv.DictReader(text.splitlines()))
            if listed.suffix == ".csv"
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (ValueError, RecursionError, csv.Error) as error:
        raise VddError(f"{listed}: cannot be read ({type(error).__name__}: {error})") from None


def _card(folder: Path, train: Clips, labels: torch.Tensor) -> dict[str, Any]:
    """The card that lies in the folder, or what is known without one."""
    counts = torch.bincount(labels, minlength=len(train.classes))
    known = {"method": UNKNOWN, "params": {}, "dataset": train.dataset, "source": folder.name, "seed": None}
    card = known | {"ipc": int(counts[0]) if (counts == counts[0]).all() else None}
    if (folder / "card.json").is_file():
        try:
            own = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise VddError(f"{folder / 'card.json'}: not JSON ({type(error).__name__})") from None
        if not isinstance(own, dict) or not isinstance(own.get("method", UNKNOWN), str):
            raise VddError(f"{folder / 'card.json'}: not a mapping that names a method")
        check_numbers(own, folder / "card.json")
        card |= {name: value for name, value in own.items() if name not in ("params", "ipc")}
        card["params"] = own["params"] if isinstance(own.get("params"), dict) else {}
    return card


def check_numbers(card: dict[str, Any], path: Path) -> None:
    """Raises VddError where an entry that is a number, if it is there, is none: records and protocols reckon with it."""
    for name in ("distill_seconds", "peak_memory_mb", "temperature", "teacher_seconds", "moved", "seed"):
        value = card.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise VddError(f"{path}: {name} is {value!r}, not a number")


def _targets(items: list[Item], card: dict[str, Any], train: Clips, folder: Path) -> torch.Tensor | None:
    """Soft labels ``float32 [N, C]`` in the order of `train`; None where no video has one. Raises VddError."""
    having = [item for item in items if item.soft is not None]
    if not having:
        return None
    if len(having) < len(items):
        raise VddError(f"{folder}: {len(having)} of {len(items)} videos have a soft label; all or none")
    named = card.get("classes")
    if not isinstance(named, list) or sorted(map(str, named)) != sorted(train.classes):
        raise VddError(f"{folder}: soft labels need card.json with the classes, in the order of their numbers")
    for item in items:
        numbers = item.soft if isinstance(item.soft, list) else []
        if len(numbers) != len(named) or not all(isinstance(x, int | float) and abs(x) < 1e30 for x in numbers):
            raise VddError(f"{item.path}: its soft label is not {len(named)} numbers")
    order = [named.index(name) for name in train.classes]
    return torch.tensor([item.soft for item in items], dtype=torch.float32)[:, order]


def _content(paths: list[Path], train: Clips) -> Mosaics:
    """The files themselves, drawn as clips of `train` are. Raises VddError where one is broken, short or of another size."""
    found: dict[Path, video.Probe] = {}
    for path, one in parallel.run_each(paths, _probed, "reading videos", crashed=_broken):
        if isinstance(one, BrokenVideo):
            raise one
        found[path] = one
    sizes = {(one.width, one.height) for one in found.values()}
    if len(sizes) > 1:
        raise VddError(f"videos of {len(sizes)} sizes, such as {sorted(sizes)[:2]}; scale them to one")
    shortest = min(paths, key=lambda path: found[path].frames)
    g, size = train.geometry, sizes.pop()
    if found[shortest].frames < g.frames:
        raise VddError(f"{shortest}: {found[shortest].frames} frames, and a clip has {g.frames}")
    if size[0] == size[1]:  # already square: nothing is cropped
        g = g.model_copy(update={"resize": (g.size, g.size)})
    lengths = [found[path].frames for path in paths]
    return Mosaics([path.read_bytes() for path in paths], lengths, size, 1, g, train.mean, train.std)


def _probed(path: Path) -> video.Probe | BrokenVideo:
    try:
        return video.probe(path)
    except BrokenVideo as error:
        return error


def _broken(path: Path, why: str) -> BrokenVideo:
    return BrokenVideo(video.crash_reason(path, why))


def _folder_name(name: str) -> str:
    """A class as the name of a folder on any system."""
    return "".join(letter if letter.isalnum() or letter in " -_.," else "_" for letter in name).strip(" .") or "_"
