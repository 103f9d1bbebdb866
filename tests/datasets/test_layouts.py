"""Small made trees in the layouts of the five real datasets."""

import json

import pytest

from tests.conftest import real_folder, write_ucf
from vddlib.core.errors import VddError
from vddlib.datasets import catalog, layouts, subsets, video
from vddlib.datasets.split_lists import class_names, read_lines


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_ucf_matches_by_stem_and_keeps_the_official_labels(tiny_root):
    listing = layouts.ucf(tiny_root)
    assert listing.classes == ("Red", "Green", "Blue")
    assert (len(listing.train), len(listing.test), listing.absent) == (18, 9, ())
    assert {e.label for e in listing.train if e.name.startswith("Blue/")} == {2}
    assert listing.train[0].path.suffix == ".mp4" and listing.train[0].name == "Red/v_Red_g08_c01"


def test_ucf_restricted_relabels_in_the_order_given(tiny_root):
    listing = layouts.ucf(tiny_root, classes=("Blue", "Red"))
    assert listing.classes == ("Blue", "Red") and len(listing.train) == 12
    assert {e.label for e in listing.test if e.name.startswith("Blue/")} == {0}


def test_miniucf_is_found_in_a_full_ucf101(tmp_path, monkeypatch):
    names = (*catalog.MINIUCF, "YoYo")
    root = tmp_path / "UCF101"
    lists = root / "UCF101TrainTestSplits-RecognitionTask" / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {n}\n" for i, n in enumerate(names, 1)))
    (lists / "trainlist01.txt").write_text("".join(f"{n}/v_{n}_g08_c01.avi {i}\n" for i, n in enumerate(names, 1)))
    (lists / "testlist01.txt").write_text("".join(f"{n}/v_{n}_g01_c01.avi\n" for n in names))
    for n in names:
        touch(root / "UCF-101" / n / f"v_{n}_g08_c01.avi")
        touch(root / "UCF-101" / n / f"v_{n}_g01_c01.avi")
    monkeypatch.setenv("VDD_DATA", str(tmp_path))
    mini, full = catalog.read("miniucf"), catalog.read("ucf101")
    assert (len(mini.classes), len(mini.train), len(mini.test)) == (50, 50, 50)
    assert len(full.classes) == 51 and "YoYo" in full.classes
    assert mini.fingerprint != full.fingerprint


CARRIED = subsets.LISTS / "miniucf10"


def listed(lists, part, classes=None):
    """``CLASS/VIDEO.avi`` of a list, in its order."""
    names = [line.split()[0] for line in read_lines(lists / f"{part}list01.txt")]
    return [name for name in names if classes is None or name.partition("/")[0] in classes]


def test_the_lists_of_miniucf10_are_the_official_split_on_these_videos():
    lists = real_folder("miniucf10") / "miniucf10" / "ucfTrainTestlist"
    for name in ("classInd", "trainlist01", "testlist01"):
        assert read_lines(CARRIED / f"{name}.txt") == read_lines(lists / f"{name}.txt")
    shared = {"JumpingJack", "TrampolineJumping"}  # of these, ucf10's lists hold everything that the official ones do
    official = real_folder("ucf10") / "ucf10" / "ucfTrainTestlist"
    for part in ("train", "test"):
        ours, whole = listed(CARRIED, part, shared), listed(official, part, shared)
        assert 0 < len(ours) <= len(whole) and ours == [name for name in whole if name in set(ours)]


def test_the_lists_of_miniucf10_are_sound():
    train, test = listed(CARRIED, "train"), listed(CARRIED, "test")
    assert (len(set(train)), len(set(test))) == (len(train), len(test)) == catalog.spec("miniucf10").counts
    assert not {layouts.source_of(name) for name in train} & {layouts.source_of(name) for name in test}
    classes = {name.partition("/")[0] for name in train}
    assert len(classes) == 10 and classes == {name.partition("/")[0] for name in test} <= set(catalog.MINIUCF)


def whole_ucf101(root):
    """A tree that holds miniucf10's videos, others of its classes and another class, with lists of all of them."""
    classes = ["ApplyLipstick", *class_names(CARRIED / "classInd.txt"), "YoYo"]
    more = {"train": ["YoYo/v_YoYo_g08_c01.avi", "Diving/v_Diving_g25_c09.avi"], "test": ["YoYo/v_YoYo_g01_c01.avi"]}
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes, 1)))
    for part, extra in more.items():
        names = sorted(listed(CARRIED, part) + extra)
        lines = [f"{name} {classes.index(name.partition('/')[0]) + 1}" if part == "train" else name for name in names]
        (lists / f"{part}list01.txt").write_text("\n".join(lines) + "\n")
        for name in names:
            touch(root / "UCF-101" / name)
    return root


@pytest.mark.parametrize("folder", ["UCF101", "miniucf10", "."])
def test_miniucf10_is_found_in_a_whole_ucf101_and_in_a_folder_of_its_own(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("VDD_DATA", str(tmp_path))
    root = whole_ucf101(tmp_path / folder)
    if folder == "miniucf10":  # these videos alone, without lists
        for path in [*root.glob("ucfTrainTestlist/*"), *root.glob("UCF-101/YoYo/*"), *root.glob("*/*/*_g25_c09.avi")]:
            path.unlink()
    found = catalog.read("miniucf10")
    assert found.root == root and found.classes == tuple(class_names(CARRIED / "classInd.txt"))
    for part in ("train", "test"):
        entries = getattr(found, part)
        assert [f"{entry.name}.avi" for entry in entries] == listed(CARRIED, part)
        assert all(found.classes[entry.label] == entry.path.parent.name for entry in entries)


def test_a_ucf101_that_lacks_videos_of_miniucf10_is_refused(tmp_path, monkeypatch):
    root = whole_ucf101(tmp_path / "ucf101")
    monkeypatch.setenv("VDD_DATA", str(tmp_path))
    gone = listed(CARRIED, "train", {"Diving"})[0]
    (root / "UCF-101" / gone).unlink()
    for name in ("miniucf10", "tempo"):
        with pytest.raises(VddError, match=rf"1 videos that are not under .*, first {gone}; copy") as e:
            catalog.read(name)
        assert "remove them from the lists" not in str(e.value)  # which are not the user's
    assert catalog.read("miniucf10", absent_allowed=True).absent == (gone,)


def test_tempo_lists_every_video_of_miniucf10_once_per_pace(tmp_path, monkeypatch):
    whole_ucf101(tmp_path)
    monkeypatch.setenv("VDD_DATA", str(tmp_path))
    mini, tempo = catalog.read("miniucf10"), catalog.read("tempo")
    assert tempo.classes[:4] == ("BasketballDunk slow", "BasketballDunk fast", "Diving slow", "Diving fast")
    assert (len(tempo.classes), len(tempo.train), len(tempo.test)) == (20, 1402, 556)
    for part in ("train", "test"):
        once, twice = getattr(mini, part), getattr(tempo, part)
        assert len({entry.name for entry in twice}) == len(twice)
        for pace, factor in subsets.PACES.items():
            entries = [entry for entry in twice if tempo.classes[entry.label].endswith(f" {pace}")]
            assert [entry.path for entry in entries] == [entry.path for entry in once]
            assert [entry.source for entry in entries] == [entry.source for entry in once]
            assert {entry.pace for entry in entries} == {factor}
            assert all(
                tempo.classes[e.label] == f"{mini.classes[o.label]} {pace}" for e, o in zip(entries, once, strict=True)
            )
            assert all(e.name == o.name.replace("/", f" {pace}/") for e, o in zip(entries, once, strict=True))


def test_the_fingerprint_tells_paces_apart(tiny_root):
    listing = layouts.ucf(tiny_root)

    def fingerprint(**paces):
        paced = subsets.at_paces(listing, paces)
        return catalog.Dataset("tiny", tiny_root, paced.classes, paced.train, paced.test).fingerprint

    assert fingerprint(slow=1, fast=4) == fingerprint(slow=1, fast=4)
    assert len({fingerprint(slow=1, fast=4), fingerprint(slow=1, fast=2), fingerprint(slow=2, fast=4)}) == 3


def hmdb_tree(root):
    """Three train, two test and two unused clips a class; one unused clip has the source of a test clip."""
    for name in ("brush_hair", "wave"):
        lines = []
        clips = (
            (f"April_09_{name}_u_nm_np1_ba_goo_0", 1),
            (f"April_09_{name}_u_cm_np1_fr_goo_1", 1),
            (f"#20_{name}_lesson_{name}_h_nm_np2_le_bad_0", 1),
            (f"Wie_man_winkt!!_{name}_f_nm_np1_ri_med_0", 2),
            (f"50_FIRST_DATES_{name}_u_nm_np1_fr_goo_30", 2),
            (f"50_FIRST_DATES_{name}_l_cm_np10_fr_med_3", 0),
            (f"winKen_{name}_u_cm_np1_ri_bad_1", 0),
        )
        for stem, part in clips:
            touch(root / "hmdb51_org" / name / f"{stem}.avi")
            lines.append(f"{stem}.avi {part} ")
        path = root / "testTrainMulti_7030_splits" / f"{name}_test_split1.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return root


def test_hmdb_official_and_leaky(tmp_path):
    official, leaky = layouts.hmdb(hmdb_tree(tmp_path)), layouts.hmdb(tmp_path, leftovers_in_train=True)
    assert official.classes == ("brush_hair", "wave")
    assert (len(official.train), len(official.test)) == (6, 4)
    assert (len(leaky.train), len(leaky.test)) == (10, 4)
    assert {e.name for e in official.train} < {e.name for e in leaky.train}
    assert "LEAK" in catalog.spec("hmdb51-vdsd").notes


def test_hmdb_with_a_broken_line(tmp_path):
    (hmdb_tree(tmp_path) / "testTrainMulti_7030_splits" / "wave_test_split1.txt").write_text("clip.avi 7\n")
    with pytest.raises(VddError, match=r"wave_test_split1\.txt, line 1"):
        layouts.hmdb(tmp_path)


def test_kinetics_with_spaces_underscores_flat_files_and_absent_videos(tmp_path):
    head = "label,youtube_id,time_start,time_end,split\n"
    train = "abseiling,aaa,0,10,train\nair drumming,bbb,5,15,train\nair drumming,gone,5,15,train\n"
    (tmp_path / "train.csv").write_text(head + train)
    (tmp_path / "val.csv").write_text(head + "air drumming,ccc,1,11,val\n")
    touch(tmp_path / "train" / "abseiling" / "aaa_000000_000010.mp4")
    touch(tmp_path / "train" / "air_drumming" / "bbb_000005_000015.mp4")
    touch(tmp_path / "val" / "ccc_000001_000011.mp4")
    listing = layouts.kinetics(tmp_path)
    assert listing.classes == ("abseiling", "air drumming")
    assert [e.label for e in listing.train] == [0, 1] and [e.label for e in listing.test] == [1]
    assert listing.absent == ("train/air drumming/gone_000005_000015.mp4",)
    (tmp_path / "val.csv").write_text("name,id\nx,y\n")
    with pytest.raises(VddError, match="no column 'label'"):
        layouts.kinetics(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"abseiling,bbb,,10", "line 3: has no time_start"),
        (b"abseiling,bbb,0", "line 3: has no time_end"),
        (b",bbb,0,10", "line 3: has no label"),
        (b"abseiling,bbb,soon,10", "line 3: expected a time in seconds, found 'soon'"),
        (b"abseiling,bbb,0,inf", "line 3: expected a time in seconds, found 'inf'"),
        (b"abseiling \xe9,bbb,0,10", "not a csv in UTF-8"),
    ],
)
def test_kinetics_with_a_broken_line(tmp_path, line, message):
    good = b"label,youtube_id,time_start,time_end\nabseiling,aaa,0,10\n"
    (tmp_path / "train.csv").write_bytes(good + line + b"\n")
    (tmp_path / "val.csv").write_bytes(good)
    with pytest.raises(VddError, match=rf"train\.csv.*{message}"):
        layouts.kinetics(tmp_path)


def test_ssv2_templates_lose_their_brackets(tmp_path):
    (tmp_path / "labels").mkdir()
    labels = {"Pushing something from left to right": "1", "Holding something": "0"}
    (tmp_path / "labels" / "labels.json").write_text(json.dumps(labels))
    item = {"id": "7", "label": "pushing a cup", "template": "Pushing [something] from left to right"}
    (tmp_path / "labels" / "train.json").write_text(json.dumps([item]))
    rows = [{"id": "8", "template": "Holding [something]"}, {"id": "9", "template": "Holding [something]"}]
    (tmp_path / "labels" / "validation.json").write_text(json.dumps(rows))
    touch(tmp_path / "20bn-something-something-v2" / "7.webm")
    touch(tmp_path / "20bn-something-something-v2" / "8.webm")
    listing = layouts.ssv2(tmp_path)
    assert listing.classes == ("Holding something", "Pushing something from left to right")
    assert [e.label for e in listing.train] == [1] and [e.label for e in listing.test] == [0]
    assert listing.absent == ("9.webm",)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (
            "train",
            [{"id": "7", "template": "Holding [something]"}, {"id": "8"}],
            r"train\.json, item 2: needs a text 'template'",
        ),
        ("validation", [{"template": "Holding [something]"}], r"validation\.json, item 1: needs a text 'id'"),
        ("train", [{"id": "7", "template": "Flying"}], r"train\.json, item 1: labels\.json does not list .*'Flying'"),
        ("train", ["7"], r"train\.json, item 1: needs a text 'id'"),
        ("train", {"7": "Holding"}, r"train\.json: expected a list"),
        ("labels", {"Holding something": "first"}, r"labels\.json: expected a number"),
    ],
)
def test_ssv2_with_a_broken_file(tmp_path, part, value, message):
    whole = {"labels": {"Holding something": "0"}, "train": [], "validation": []}
    for name, content in (whole | {part: value}).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(VddError, match=message):
        layouts.ssv2(tmp_path)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("Red/v_Red_g08_c01", "Red/v_Red_g08"),
        ("v_Red_g08_c01", "v_Red_g08"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0", "brush_hair/April_09_brush_hair"),
        ("April_09_brush_hair_u_cm_np1_fr_goo_12", "April_09_brush_hair"),
        ("wave/How_to_wave_u_see_wave_f_cm_np2_le_med_0", "wave/How_to_wave_u_see_wave"),
        ("abseiling/aaa_000000_000010", "abseiling/aaa_000000_000010"),
        ("7", "7"),
    ],
)
def test_the_source_that_a_name_tells(name, source):
    assert layouts.source_of(name) == source


def test_class_folders_split_by_source_video(tmp_path):
    for name in ("a", "b"):
        for group in range(6):
            for clip in range(3):
                touch(tmp_path / name / f"v_{name}_g{group:02d}_c{clip:02d}.mp4")
    listing = layouts.class_folders(tmp_path)
    sources = [{layouts.source_of(e.name) for e in part} for part in (listing.train, listing.test)]
    assert not sources[0] & sources[1]
    assert len(listing.train) + len(listing.test) == 36 and 6 <= len(listing.test) <= 18
    assert listing == layouts.class_folders(tmp_path)
    assert listing != layouts.class_folders(tmp_path, seed=1)


def test_class_folders_of_hmdb_split_by_source_video(tmp_path):
    for name in ("sit", "wave"):
        for clip in range(12):
            touch(tmp_path / name / f"Film_{clip // 3}_{name}_{'uf'[clip % 2]}_nm_np1_fr_goo_{clip}.avi")
    listing = layouts.class_folders(tmp_path)
    sources = [{layouts.source_of(e.name) for e in part} for part in (listing.train, listing.test)]
    assert [len(part) for part in sources] == [6, 2] and not sources[0] & sources[1]


def test_a_folder_is_a_dataset_by_its_path(tiny_root):
    dataset = catalog.read(str(tiny_root))
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("tiny", 18, 9)


def test_lists_that_name_absent_videos(tmp_path):
    root = write_ucf(tmp_path / "d", train=2, test=1)
    (root / "UCF-101" / "Green" / "v_Green_g08_c01.mp4").unlink()
    with pytest.raises(VddError, match=r"1 videos that are not there, first Green/v_Green_g08_c01\.avi"):
        catalog.read(str(root))
    (root / "ucfTrainTestlist" / "testlist01.txt").write_text("nonsense\n")
    with pytest.raises(VddError, match=r"testlist01.txt, line 1"):
        catalog.read(str(root))


@pytest.mark.parametrize("place", [".", "ucfTrainTestlist"])
@pytest.mark.parametrize("videos", [".", "videos", "UCF-101"])
def test_lists_without_classind_take_the_classes_from_the_folders(tmp_path, place, videos):
    """As the README says: class folders plus trainlist01.txt and testlist01.txt."""
    for name in ("wave", "Catch it"):
        for stem in ("a b", "c"):
            touch(tmp_path / videos / name / f"{stem}.mp4")
    (tmp_path / videos / "notes").mkdir()
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "trainlist01.txt").write_text("wave/a b.avi 2\nCatch it/c.avi 1\n")
    (tmp_path / place / "testlist01.txt").write_text("wave/c.avi\nCatch it/a b.avi\n")
    found = catalog.read(str(tmp_path))
    assert found.classes == ("Catch it", "wave")
    assert [(entry.name, entry.label) for entry in found.train] == [("wave/a b", 1), ("Catch it/c", 0)]
    assert [entry.name for entry in found.test] == ["wave/c", "Catch it/a b"]
    (tmp_path / place / "testlist01.txt").write_text("jump/c.avi\n")
    with pytest.raises(VddError, match=r"testlist01.txt, line 1: .* has no folder with videos for the class 'jump'"):
        catalog.read(str(tmp_path))
    (tmp_path / place / "trainlist01.txt").unlink()  # and the test list is not passed over in silence
    with pytest.raises(VddError, match=r"no trainlist01\.txt"):
        catalog.read(str(tmp_path))


@pytest.mark.parametrize(
    ("stem", "line"),
    [
        ("my clip", "Red/my clip.avi 1"), ("my clip", "Red/my clip.avi"), ("clip 3", "Red/clip 3.avi 1"),
        ("clip", "Red/clip 1"),
        ("clip 3", "Red/clip 3"), ("clip 3", "Red/clip 3 1"), ("it's", "Red/it's.avi 1"), ('a "b" c', 'Red/a "b" c.avi 1'),
        ("my clip", '"Red/my clip.avi" 1'), ("my clip", "'Red/my clip.avi'"), ("v1.5 x", "Red/v1.5 x 1"),
        ("tab", "Red/tab.avi\t1"),
    ],
)  # fmt: skip
def test_names_in_lists_may_hold_spaces_and_quotes(tmp_path, stem, line):
    for name in ("Red", "Light blue"):
        touch(tmp_path / name / "other.mp4")
    touch(tmp_path / "Red" / f"{stem}.mp4")
    (tmp_path / "classInd.txt").write_text("1 Red\n2 Light blue\n", encoding="utf-8-sig")
    (tmp_path / "trainlist01.txt").write_text(line + "\nLight blue/other.avi 2\n", encoding="utf-8-sig")
    (tmp_path / "testlist01.txt").write_text("Red/other.avi\r\n")
    found = layouts.ucf(tmp_path)
    assert [entry.name for entry in found.train] == [f"Red/{stem}", "Light blue/other"] and not found.absent
    assert found.classes == ("Red", "Light blue")
    (tmp_path / "classInd.txt").write_text("Light blue\nRed\n")  # without numbers
    assert layouts.ucf(tmp_path).classes == ("Light blue", "Red")


@pytest.mark.parametrize("classes", [None, ("Red",)])
def test_lists_that_name_an_unknown_class(tmp_path, classes):
    lists = write_ucf(tmp_path / "d", train=1, test=1) / "ucfTrainTestlist"
    with (lists / "trainlist01.txt").open("a") as file:
        file.write("Gren/v_Green_g08_c01.avi 2\n")
    with pytest.raises(VddError, match=r"trainlist01\.txt, line 4: classInd\.txt does not list the class 'Gren'"):
        layouts.ucf(tmp_path / "d", classes=classes)


def test_where_nothing_is(tmp_path, monkeypatch):
    with pytest.raises(VddError, match="VDD_DATA is not set"):
        catalog.read("ucf101")
    monkeypatch.setenv("VDD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(VddError, match="no such folder"):
        catalog.read("ucf101")
    monkeypatch.setenv("VDD_DATA", str(tmp_path))
    with pytest.raises(VddError, match=r"hmdb51: not found under VDD_DATA.*download"):
        catalog.read("hmdb51")
    with pytest.raises(VddError, match="did you mean 'miniucf'"):
        catalog.read("minucf")
    with pytest.raises(VddError, match="fewer than two class folders"):
        catalog.read(str(tmp_path))


@pytest.mark.parametrize("name", ["ucf10", "miniucf10", "tempo"])
def test_the_real_split_is_as_published(name, monkeypatch):
    monkeypatch.setenv("VDD_DATA", str(real_folder("ucf10" if name == "ucf10" else "miniucf10")))
    dataset = catalog.read(name)
    assert (len(dataset.train), len(dataset.test)) == dataset.spec.counts
    assert len(dataset.classes) == dataset.spec.num_classes


def test_every_real_video_of_tempo_is_long_enough_for_the_fast_pace(monkeypatch):
    """So none is left out, and every label is true."""
    monkeypatch.setenv("VDD_DATA", str(real_folder("miniucf10")))
    dataset = catalog.read("tempo")
    lengths = [video.probe(entry.path).frames for entry in (*dataset.train, *dataset.test)[::2]]
    assert len(lengths) == 979 and min(lengths) >= dataset.spec.clip.shortest(dataset.longest_pace)
