"""Finished work in an archive: what comes back is what went in, and what does not match is refused."""

import io
import json
import tarfile

import pytest
from typer.testing import CliRunner

from vddlib.cli import app
from vddlib.core import cache, pack
from vddlib.core.errors import VddError
from vddlib.core.files import file_sha256, write_json


def build(text: str):
    """What fills an artifact: a nested file, one of the cache's own leftovers, and one that nobody may pass on."""

    def fill(folder):
        (folder / "snapshots").mkdir(exist_ok=True)
        (folder / "snapshots" / "0.safetensors").write_text(text)
        (folder / "card.json").write_text("{}")
        (folder / "checkpoint.pt").write_text("left over")

    return fill


@pytest.fixture
def scale(tmp_path, monkeypatch):
    """A root with one run, which used a set and a decoded dataset."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("VDD_RUN", str(scratch))
    cache.get("distilled", {"seed": 0}, build("zero"))
    cache.get("distilled", {"seed": 0}, build("zero"))  # twice: listed by its name alone
    cache.get("networks", {"seed": 1}, build("one"))
    cache.get("store", {"dataset": "somebody's"}, build("frames"))
    monkeypatch.delenv("VDD_RUN")
    used = (scratch / cache.USED).read_text().split()
    assert len(used) == 4 and len(set(used)) == 3
    run = tmp_path / "runs" / "quick" / "04_dm" / "v.json"
    run.parent.mkdir(parents=True)
    write_json(run, {"artifacts": sorted(set(used))})
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Another, empty cache."""

    def move():
        monkeypatch.setenv("VDD_CACHE", str(tmp_path / "elsewhere"))
        return tmp_path / "elsewhere"

    return move


def members(archive) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def rewritten(archive, change, manifest=True):
    """The archive with `change(files)` done to its files, and the hashes in its manifest right again."""
    files = members(archive)
    change(files)
    if manifest:
        listed = json.loads(files[pack.MANIFEST])
        for name, hashes in listed["artifacts"].items():
            for at in hashes:
                if f"{name}/{at}" in files:
                    place = archive.parent / "one"
                    place.write_bytes(files[f"{name}/{at}"])
                    hashes[at] = file_sha256(place)
        files[pack.MANIFEST] = json.dumps(listed).encode()
    with tarfile.open(archive, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_what_comes_back_is_what_went_in(scale, elsewhere):
    archive, before = scale / "quick.vdd.tar", cache.folder()
    manifest = pack.pack("quick", archive, scale)
    assert {name.partition("/")[0] for name in manifest["artifacts"]} == {"distilled", "networks"}
    first = archive.read_bytes()
    pack.pack("quick", archive, scale)
    assert archive.read_bytes() == first  # the same work, the same archive
    after = elsewhere()
    assert pack.unpack(archive) == (2, 0)
    for name, files in manifest["artifacts"].items():
        assert set(files) == {"key.json", "card.json", "snapshots/0.safetensors"}
        for at in files:
            assert (after / name / at).read_bytes() == (before / name / at).read_bytes()
    found = cache.get("distilled", {"seed": 0}, lambda folder: pytest.fail("it was made again"))
    assert (found / "snapshots" / "0.safetensors").read_text() == "zero"
    assert pack.unpack(archive) == (0, 2)
    assert not list(after.rglob("*.unpacking"))


def name_of(files: dict) -> str:
    return next(name for name in files if name.startswith("networks/")).rpartition("/")[0].split("/snapshots")[0]


def change_byte(files):
    files[f"{name_of(files)}/card.json"] = b"[]"


def add_file(files):
    name, others = name_of(files), dict(files)
    files.clear()
    for at, data in others.items():
        if at.startswith(name):  # before its own
            files.setdefault(f"{name}/more.json", b"{}")
        files[at] = data


def other_key(files):
    files[f"{name_of(files)}/key.json"] = b'{"seed": 2}'


def list_as(name, at):
    """The manifest lists another file."""

    def change(files):
        listed = json.loads(files[pack.MANIFEST])
        listed["artifacts"] = {name: {"key.json": "0", at: "0"}}
        files[pack.MANIFEST] = json.dumps(listed).encode()

    return change


@pytest.mark.parametrize(
    "change, manifest, why",
    [
        (change_byte, False, "card.json is not what its manifest says"),
        (add_file, True, "more.json: not a file that the manifest lists"),
        (other_key, True, "not named by the hash of its key"),
        (list_as("networks/" + "a" * 20, "model.pt"), False, "model.pt is no file of an artifact"),
        (list_as("networks/" + "a" * 20, "../../x.json"), False, "is no file of an artifact"),
        (list_as("networks/" + "a" * 20, "..\\..\\x.json"), False, "is no file of an artifact"),
        (list_as("networks/" + "a" * 20, "C:/x.json"), False, "is no file of an artifact"),
        (list_as("networks/" + "a" * 20, ".hidden.json"), False, "is no file of an artifact"),
        (list_as("networks/../../etc", "x.json"), False, "no artifact that may be passed on"),
        (list_as("store/" + "a" * 20, "x.json"), False, "no artifact that may be passed on"),
        (lambda files: files.pop(pack.MANIFEST), False, "does not begin with"),
        (lambda files: files.update({pack.MANIFEST: b"{"}), False, "cannot be read"),
        (lambda files: files.update({pack.MANIFEST: b'{"format": 9, "artifacts": {}}'}), False, "another format"),
    ],
)
def test_what_does_not_match_is_refused_and_nothing_of_it_stays(scale, elsewhere, change, manifest, why):
    archive = scale / "quick.vdd.tar"
    pack.pack("quick", archive, scale)
    rewritten(archive, change, manifest)
    after = elsewhere()
    with pytest.raises(VddError, match=why):
        pack.unpack(archive)
    assert not list(after.glob("networks/*")) and not list(after.rglob(".*.unpacking"))
    assert not list(after.rglob("more.json"))


def test_links_and_halves_are_refused(scale, elsewhere):
    archive = scale / "quick.vdd.tar"
    pack.pack("quick", archive, scale)
    whole = archive.read_bytes()
    elsewhere()
    with tarfile.open(archive) as tar:
        ends = [member.offset for member in tar][1:]  # where each file after the manifest begins
    for cut in (*ends, len(whole) // 2, *(end + 100 for end in ends)):
        archive.write_bytes(whole[:cut])
        with pytest.raises(VddError, match=r"not a whole archive|ends before|cannot be read"):
            pack.unpack(archive)
        assert not list(cache.folder().rglob(".*.unpacking"))
    archive.write_bytes(b"no archive at all" * 100)
    with pytest.raises(VddError, match="not a whole archive"):
        pack.unpack(archive)
    archive.write_bytes(whole)
    files = members(archive)
    with tarfile.open(archive, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            if name.endswith("card.json"):
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with pytest.raises(VddError, match="not a file that the manifest lists"):
        pack.unpack(archive)
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name.endswith("card.json"):
                member.pax_headers = {"GNU.sparse.map": "x", "GNU.sparse.size": "100000000"}
            tar.addfile(member, io.BytesIO(data))
    with pytest.raises(VddError, match=r"not a whole archive|not a file that the manifest lists"):
        pack.unpack(archive)


def test_scales_without_runs_or_lists_are_named(scale, tmp_path, monkeypatch):
    with pytest.raises(VddError, match="runs/paper has no finished run"):
        pack.pack("paper", tmp_path / "a.tar", scale)
    write_json(scale / "runs" / "old" / "04_dm" / "v.json", {})
    with pytest.raises(VddError, match="none of the 1 runs"):
        pack.pack("old", tmp_path / "a.tar", scale)
    monkeypatch.chdir(scale)
    (scale / "pyproject.toml").write_text("")
    (scale / "Snakefile").write_text("")
    done = CliRunner().invoke(app, ["pack", "quick", str(tmp_path / "b.tar")])
    assert done.exit_code == 0 and "2 artifacts" in done.stdout
    done = CliRunner().invoke(app, ["unpack", str(tmp_path / "b.tar")])
    assert done.exit_code == 0 and "2 were there" in done.stdout
