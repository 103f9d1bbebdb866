"""Finished work for others: artifacts of the cache in one archive with their hashes, checked one by one when they come back.

An archive is an uncompressed tar: `manifest.json` first, then the files of each artifact. Nothing in it is ever executed or
unpickled: tensors are safetensors, arrays plain .npy, the rest JSON and video.
"""

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from vddlib.core import cache, provenance
from vddlib.core.errors import VddError, first_line
from vddlib.core.files import digest, file_sha256
from vddlib.core.progress import with_progress

MANIFEST, FORMAT = "manifest.json", 1
# Decoded videos of a dataset, and crops of each of them, are the dataset's: whoever has it makes them.
KINDS = (
    "networks",
    "experts",
    "distilled",
    "latte",
    "latte_pools",
    "latents",
    "autoencoders",
    "vst_unet",
    "embeddings",
    "stream_bytes",
)
SUFFIXES = (".json", ".safetensors", ".npy", ".mp4", ".csv")
LONGEST_MANIFEST = 2**28  # bytes: more is no manifest
BLOCK = 2**20
NAME = re.compile(r"[a-z_]+/[0-9a-f]{20}")
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # of a path in an artifact: on no system another folder's


def used_by(scale: str, root: Path | None = None) -> list[str]:
    """KIND/NAME of everything that the finished runs of a scale took out of the cache, of the kinds that may be passed on.

    Raises VddError where the scale has no finished run, or none that lists what it used (before it was recorded).
    """
    runs = sorted((root or provenance.project_root()).glob(f"runs/{scale}/*/*.json"))
    runs = [run for run in runs if ".shard-" not in run.name]  # notes of jobs that did a share
    if not runs:
        raise VddError(f"runs/{scale} has no finished run; run the scale first")
    found = {name for run in runs for name in json.loads(run.read_text(encoding="utf-8")).get("artifacts", [])}
    mine = sorted(name for name in found if name.partition("/")[0] in KINDS)
    if not mine:
        raise VddError(
            f"none of the {len(runs)} runs in runs/{scale} lists artifacts; run it again (finished work is reused)"
        )
    return mine


def pack(scale: str, archive: Path, root: Path | None = None) -> dict[str, Any]:
    """Write everything that a scale's runs used into one archive, whole or not at all; its manifest.

    What another machine's runs used and this cache lacks is named in the manifest under `absent`.
    """
    archive, names = Path(archive), used_by(scale, root)
    present = [name for name in names if (cache.folder() / name / "key.json").is_file()]
    files = {name: _files(cache.folder() / name) for name in present}
    manifest = {
        "format": FORMAT, "scale": scale, "commit": provenance.commit(), "lock_sha256": provenance.lock_sha256(),
        "artifacts": {name: {at: file_sha256(cache.folder() / name / at) for at in files[name]} for name in present},
        "absent": sorted(set(names) - set(present)),
    }  # fmt: skip
    partial = archive.with_name(f".{archive.name}.partial")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            _add_bytes(tar, MANIFEST, json.dumps(manifest, indent=1).encode())
            for name in with_progress(present, f"packing {scale}"):
                for at in files[name]:
                    tar.add(cache.folder() / name / at, arcname=f"{name}/{at}", recursive=False, filter=_plain)
        partial.replace(archive)
    except OSError as error:
        raise VddError(f"{archive}: cannot be written ({error.strerror or error})") from None
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def unpack(archive: Path) -> tuple[int, int]:
    """Put the artifacts of an archive into the cache: how many are new, and how many were there already.

    Every file must be in the manifest with its hash, and every artifact must be named by the hash of its key; what is not is
    refused, and nothing of that artifact stays. Raises VddError.
    """
    archive = Path(archive)
    try:
        with tarfile.open(archive, "r|") as tar:  # once from front to back: what stands in it is checked as it comes
            members = iter(tar)
            manifest = _manifest(tar, members)
            return _unpack(tar, members, manifest, archive)
    except (tarfile.TarError, EOFError, ValueError) as error:  # malformed headers give any of them
        raise VddError(f"{archive}: not a whole archive of vdd pack ({first_line(error)})") from None
    except OSError as error:
        raise VddError(f"{error.filename or archive}: cannot be read or written ({error.strerror or error})") from None


def _unpack(tar, members: Iterator[tarfile.TarInfo], manifest: dict, archive: Path) -> tuple[int, int]:
    expected, new, there = manifest["artifacts"], 0, 0
    waiting = {name: dict(files) for name, files in expected.items()}
    current: str | None = None
    place = None
    try:
        for member in with_progress(members, f"unpacking {archive.name}", total=sum(map(len, expected.values()))):
            name, at = _split(member, waiting)
            if name != current:
                if current and waiting[current]:
                    raise VddError(f"{archive}: {current} is not whole in it")
                current, place = name, _begin(name)
            data = tar.extractfile(member)
            if _copied(data, place / at if place else None) != waiting[name].pop(at):
                raise VddError(f"{archive}: {name}/{at} is not what its manifest says")
            if not waiting[name]:
                there += place is None
                new += place is not None and _finish(place, name, archive)
        if missing := [name for name, files in waiting.items() if files]:
            raise VddError(f"{archive}: ends before {missing[0]} is whole; copy it again")
    except BaseException:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        raise
    return new, there


def _manifest(tar, members: Iterator[tarfile.TarInfo]) -> dict[str, Any]:
    """The manifest, the first file of an archive. Raises VddError where it is none."""
    first = next(members, None)
    if first is None or first.name != MANIFEST or not _is_file(first) or first.size > LONGEST_MANIFEST:
        raise VddError(f"{tar.name}: does not begin with {MANIFEST}: no archive of vdd pack")
    try:
        manifest = json.loads(tar.extractfile(first).read())
        artifacts = manifest["artifacts"]
        fits = manifest["format"] == FORMAT and all(isinstance(files, dict) and files for files in artifacts.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VddError(f"{tar.name}: {MANIFEST} cannot be read ({first_line(error)})") from None
    if not fits:
        raise VddError(f"{tar.name}: {MANIFEST} is of another format than {FORMAT}")
    for name, files in artifacts.items():
        if not NAME.fullmatch(name) or name.partition("/")[0] not in KINDS or "key.json" not in files:
            raise VddError(f"{tar.name}: {name!r} is no artifact that may be passed on")
        for at in files:
            parts, place = at.split("/"), cache.folder() / name
            plain = all(PART.fullmatch(part) for part in parts) and Path(at).suffix in SUFFIXES
            if not plain or not (place / at).resolve().is_relative_to(place.resolve()):
                raise VddError(f"{tar.name}: {name}/{at} is no file of an artifact")
    return manifest


def _is_file(member: tarfile.TarInfo) -> bool:
    """Whether it is a file as it stands there: no link, device or folder, nor one whose holes tar would fill."""
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()


def _split(member: tarfile.TarInfo, waiting: dict[str, dict[str, str]]) -> tuple[str, str]:
    """(artifact, file in it) of a member of the archive. Raises VddError for one that the manifest does not list."""
    name, at = "/".join(member.name.split("/")[:2]), "/".join(member.name.split("/")[2:])
    if not _is_file(member) or at not in waiting.get(name, {}):
        raise VddError(f"{member.name}: not a file that the manifest lists")
    return name, at


def _begin(name: str) -> Path | None:
    """The folder beside its place that an artifact is unpacked into; None where the cache has it."""
    place = cache.folder() / name
    if (place / "key.json").is_file():
        return None
    partial = place.with_name(f".{place.name}.unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _finish(partial: Path, name: str, archive: Path) -> bool:
    """Give a whole artifact its name. Raises VddError where that is not the hash of its key."""
    try:
        key = json.loads((partial / "key.json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise VddError(f"{archive}: {name}/key.json is not JSON ({type(error).__name__})") from None
    place = cache.folder() / name
    if digest(key)[:20] != place.name:
        raise VddError(f"{archive}: {name} is not named by the hash of its key")
    with FileLock(place.with_name(f".{place.name}.lock")):
        if (place / "key.json").is_file():  # made by somebody meanwhile
            shutil.rmtree(partial)
            return False
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    return True


def _copied(data: BinaryIO, path: Path | None) -> str:
    """sha256 (hex) of what is read, which is also written to `path`, if there is one."""
    state = hashlib.sha256()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if path is None else path.open("wb") as out:
        while block := data.read(BLOCK):
            state.update(block)
            if out:
                out.write(block)
    return state.hexdigest()


def _files(place: Path) -> list[str]:
    """Files of an artifact that are passed on; what a build needed on the way (checkpoints, locks) is not."""
    found: Iterable[Path] = (path for path in place.rglob("*") if path.is_file() and path.suffix in SUFFIXES)
    return sorted(path.relative_to(place).as_posix() for path in found if not path.name.startswith("."))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who made it and when: the same work gives the same archive."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = _plain(tarfile.TarInfo(name))
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
