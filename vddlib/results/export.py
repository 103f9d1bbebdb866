"""A distilled set for others: videos by class, labels, and a card that says what it is, from what, and how it does."""

import json
import shutil
from pathlib import Path

from vddlib.core.errors import VddError, first_line
from vddlib.core.provenance import commit
from vddlib.datasets.catalog import CATALOG, UNSTATED
from vddlib.distillers import DistilledSet
from vddlib.distillers.videofolder import METADATA, QUALITY, write_videofolder
from vddlib.evaluation.statistics import over
from vddlib.results.fair import comparisons
from vddlib.results.methods import METHODS, method_of
from vddlib.results.records import load
from vddlib.results.schema import display
from vddlib.results.write import spanned

CARD = """---
pretty_name: {quoted}
license: {licence_tag}
task_categories: [video-classification]
tags: [dataset-distillation, video]
size_categories: [{count}]
---

# {title}

{clips} clips of {classes} classes, distilled from the training split of {dataset} by {method}
({source}), seed {seed}, with vddlib, commit {commit}.

- **Clips**: {shape}. {encoding}
- **Labels**: `label` in `metadata.jsonl`{soft}.
- **Size**: {stream:,} bytes as H.264 streams at CRF 23, labels included; {uint8:,} as bytes, {float32:,} as float32.
- **Licence of the source**: {licence}.
{row}
To load: `datasets.load_dataset("videofolder", data_dir="FOLDER")`. To measure as every method there is measured:
`vdd evaluate FOLDER {dataset} --protocol F`.

Hyper-parameters, from the card of the set (`card.json`):

```json
{params}
```
"""
WHOLE = ("pixels", "stored", "stills")  # kinds of sets in which every clip is one of `ipc` per class
LICENCE_TAGS = (("MIT", "mit"), ("CC BY 4.0;", "cc-by-4.0"))  # the hub's words, by how the catalogue's begin
COUNTS = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))  # the hub's words


def export(source: Path, folder: Path, scale: str = "", quality: int = QUALITY) -> Path:
    """Write the set in `source` as a VideoFolder with a dataset card, whole or not at all.

    With a `scale` the card has the method's rows of its fair table. Raises VddError where `source` holds no set, `folder`
    something, or the scale no record of the method.
    """
    folder, made = Path(folder), DistilledSet.load(source)
    ipc, stored = made.card.get("ipc"), made.content.kind
    if ipc and stored in WHOLE and len(made) != ipc * len(made.classes):  # such as a batch of TSGF's in the cache
        raise VddError(
            f"{source}: {len(made)} clips are not {ipc} of each of {len(made.classes)} classes: a part of a set"
        )
    if folder.exists() and any(folder.iterdir()):
        raise VddError(f"{folder} is not empty; name a new folder")
    card = card_of(made, quality, _rows(made, scale) if scale else "")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write_videofolder(made, partial, quality)
        (partial / "README.md").write_text(card, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def card_of(made: DistilledSet, quality: int, rows: str = "") -> str:
    """The dataset card, Markdown with the hub's header."""
    card = made.card
    dataset = card.get("dataset", "an unnamed dataset")
    licence = CATALOG[dataset].licence if dataset in CATALOG else UNSTATED
    _, frames, height, width, _ = made.pixels.shape
    as_stored = "The files are what the method stores." if made.content.stores_files else f"Encoded at CRF {quality}."
    name, ipc = card["method"], card.get("ipc")
    many = f"{ipc} clips per class" if ipc else f"{len(made)} clips"
    title = f"{display(name)}, {many} of {display(dataset)}"
    known = name.partition("[")[0] in METHODS
    return CARD.format(
        title=title,
        quoted=json.dumps(title),  # YAML, too
        licence_tag=next((tag for start, tag in LICENCE_TAGS if licence.startswith(start)), "other"),
        count=next((words for most, words in COUNTS if len(made) < most), "n>100K"),
        clips=len(made),
        classes=len(made.classes),
        dataset=dataset,
        method=display(name),
        source=method_of(name).source if known else "a method that is not among this package's",
        seed=card.get("seed"),
        commit=commit() or "unknown",
        shape=f"{frames} frames of {height}x{width} when drawn",
        encoding=as_stored,
        soft="; `soft_label` has a number for every class, in the order of `classes` in `card.json`"
        if made.targets.is_floating_point()
        else "",
        stream=made.bytes_stream,
        uint8=made.bytes_uint8,
        float32=made.bytes_float32,
        licence=licence,
        row=rows,
        params=json.dumps(card.get("params", {}), indent=1),
    )


def _rows(made: DistilledSet, scale: str) -> str:
    """What students of this method, dataset and IPC have at a scale, as lines of the card."""
    method, dataset, ipc = (made.card.get(name) for name in ("method", "dataset", "ipc"))
    found = comparisons(load(scale))
    mine = found[(found["method"] == method) & (found["dataset"] == dataset) & (found["ipc"] == ipc).fillna(False)]
    if mine.empty:
        raise VddError(f"the scale {scale} has no record of {method} on {dataset} at IPC {ipc} under a fair protocol")
    lines = []
    for row in mine.to_dict("records"):
        line = (
            f"- **Students under {row['protocol']}** (scale `{scale}`, sets of {over(row['seeds'], row['videos'])}): "
        )
        line += f"top-1 {spanned(row['mean'], row['low'], row['high'])}"
        difference, low, high = (row[name] for name in ("difference", "difference_low", "difference_high"))
        if difference == difference:  # nan for random clips themselves
            line += f"; minus random clips {spanned(difference, low, high, sign=True)}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Upload an exported folder as a dataset of the Hugging Face hub ($HF_ENDPOINT may name another); its address.

    Raises VddError where the folder is none, or the hub refuses.
    """
    from huggingface_hub import HfApi

    if not (Path(folder) / METADATA).is_file():
        raise VddError(f"{folder}: no exported set; write one by vdd export")
    api = HfApi()
    try:
        place = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, repo_type="dataset", folder_path=str(folder), commit_message="A distilled set"
        )
    except Exception as error:  # of the hub, of its client, or of whatever that speaks HTTP with
        raise VddError(
            f"{repository}: the upload failed ({first_line(error)}); is there a network, and a token (hf auth login)?"
        ) from None
    return str(place)
