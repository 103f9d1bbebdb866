"""`vdd check` on a made tree with one of everything wrong, and on real video."""

import shutil

from tests.conftest import write_ucf
from tests.datasets.test_layouts import hmdb_tree
from vddlib.datasets import layouts
from vddlib.datasets.catalog import Dataset, read
from vddlib.datasets.check import check, shared_sources
from vddlib.datasets.subsets import at_paces


def test_everything_wrong_is_named(tmp_path):
    root = write_ucf(tmp_path / "d", train=3, test=2)
    videos = root / "UCF-101"
    shutil.copy(videos / "Red" / "v_Red_g08_c01.mp4", videos / "Red" / "v_Red_g01_c01.mp4")  # train = test
    shutil.copy(videos / "Blue" / "v_Blue_g08_c01.mp4", videos / "Blue" / "v_Blue_g09_c01.mp4")  # train = train
    (videos / "Green" / "v_Green_g08_c01.mp4").write_bytes(b"")
    (videos / "Green" / "v_Green_g09_c01.mp4").unlink()
    found = check(read(str(root), absent_allowed=True), workers=1)
    assert not found.sound
    assert found.counts == (8, 6)
    assert found.absent == ["Green/v_Green_g09_c01.avi"]
    assert len(found.unreadable) == 1 and "v_Green_g08_c01.mp4: the file is empty" in found.unreadable[0]
    assert found.across == [["test/Red/v_Red_g01_c01", "train/Red/v_Red_g08_c01"]]
    assert found.duplicates == [["test/Red/v_Red_g01_c01", "train/Red/v_Red_g08_c01"],
                                ["train/Blue/v_Blue_g08_c01", "train/Blue/v_Blue_g09_c01"]]  # fmt: skip
    text = "\n".join(found.lines())
    assert "across train and test: 1" in text and "absent: 1" in text


def test_a_sound_dataset(tiny_root):
    dataset = read(str(tiny_root))
    found = check(dataset, workers=2)
    assert found.sound and found.frames == (24, 36, 48) and not found.inexact


def test_a_video_at_two_paces_is_looked_at_once(tiny_root):
    listing = layouts.ucf(tiny_root)
    paced = at_paces(listing, {"slow": 1, "fast": 3})
    found = check(Dataset("paced", tiny_root, paced.classes, paced.train, paced.test), workers=1)
    assert found.sound and found.counts == (36, 18) and not found.duplicates and found.shared_sources == 0


def test_one_file_in_both_lists(tmp_path):
    root = write_ucf(tmp_path / "d", train=2, test=1)
    with (root / "ucfTrainTestlist" / "testlist01.txt").open("a") as file:
        file.write("Red/v_Red_g08_c01.avi\n")
    found = check(read(str(root)), workers=1)
    assert found.across == found.duplicates == [["test/Red/v_Red_g08_c01", "train/Red/v_Red_g08_c01"]]


def test_a_decoder_that_crashes_is_told_of_the_file(tmp_path, monkeypatch):
    path = write_ucf(tmp_path / "d", train=2, test=1) / "UCF-101" / "Green" / "v_Green_g08_c01.mp4"

    def crashing(items, work, what, workers=None, *, crashed):
        return [(item, crashed(item, "why") if item == path else work(item)) for item in items]

    monkeypatch.setattr("vddlib.datasets.check.run_each", crashing)
    assert check(read(str(tmp_path / "d"))).unreadable == [f"{path}: decoding it failed: why"]


def test_shared_sources_of_hmdb(tmp_path):
    """The field's CSV puts a clip of the source of a test clip (one of two, in both classes) into train."""

    def shared(leftovers):
        listing = layouts.hmdb(tmp_path, leftovers_in_train=leftovers)
        return shared_sources(Dataset("hmdb", tmp_path, listing.classes, listing.train, listing.test))

    hmdb_tree(tmp_path)
    assert shared(False) == 0 and shared(True) == 0.5


def test_shared_sources_counts_leaks_by_name(tmp_path):
    root = write_ucf(tmp_path / "d", train=2, test=2)
    assert shared_sources(read(str(root))) == 0
    lists = root / "ucfTrainTestlist"
    (lists / "testlist01.txt").write_text("Red/v_Red_g08_c01.avi\nRed/v_Red_g01_c01.avi\n")
    assert shared_sources(read(str(root))) == 0.5


def test_real_videos(real_data, monkeypatch):
    """The duplicate pair that ucf10's README names is found (on two of its classes, to be quick)."""
    listing = layouts.ucf(real_data / "ucf10", classes=("TrampolineJumping",))
    dataset = Dataset("trampoline", real_data, listing.classes, listing.train[:30], listing.test[:4])
    found = check(dataset, workers=1)
    assert found.sound and not found.inexact and found.across == []
    assert (found.duplicates) == [
        ["train/TrampolineJumping/v_TrampolineJumping_g08_c01", "train/TrampolineJumping/v_TrampolineJumping_g12_c05"]
    ]
