"""The map names every published table, notebook and params file, and says what was run as the files do."""

import re

import pytest

from tests.conftest import ROOT
from vddlib.results import map as maps

# Params files whose figures are not committed yet; whoever runs one takes it out of this list.
NOT_RUN = """
miniucf10/16_select_videos/real_ipc1
miniucf10/16_select_videos/real_ipc10
miniucf10/16_select_videos/real_ipc5
quick/00_start_here/motions
quick/13_optdistill/compare_k_ipc1
quick/14_storage_and_information/motions_ipc5
quick/16_select_videos/generated_ipc1
quick/17_selection_ablations/embedders_ipc5
quick/17_selection_ablations/losses_ipc5
quick/17_selection_ablations/printed_ipc5
quick/22_searches/motions
""".split()


def test_it_is_written_anew_when_files_change():
    written = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert written == maps.text(ROOT), f"run {maps.WRITTEN_BY}"


def test_nothing_is_missing():
    assert maps.missing(ROOT) == []


def test_every_params_file_has_its_figures_or_is_listed_as_not_run():
    files = [path for scale in maps.SHOWN for path in (ROOT / "params" / scale).glob("*/*.yaml")]
    without = {
        "/".join(p.relative_to(ROOT / "params").with_suffix("").parts) for p in files if not maps.has_figures(p, ROOT)
    }
    assert without == set(NOT_RUN)


def test_another_experiment_does_not_stand_for_one(tmp_path):
    for place in ("paper/n/losses_x", "quick/n/losses_y", "miniucf10/n/modules_z"):
        path = tmp_path / "params" / f"{place}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    item = maps.Item("p", "table 4", "", {"n": ["losses_*"]})
    assert [path.stem for path in item.params("quick", tmp_path)] == ["losses_y"]
    assert item.params("miniucf10", tmp_path) == []
    of_datasets = maps.Item("p", "table 1", "", {"n": ["losses_x"]})  # named at `paper` alone
    assert [path.stem for path in of_datasets.params("miniucf10", tmp_path)] == ["modules_z"]


@pytest.mark.parametrize("item", maps.items(), ids=lambda item: f"{item.paper}, {item.item}")
def test_files_that_are_named_are_made(item):
    patterns = [pattern for patterns in item.runs.values() for pattern in patterns]
    assert not item.runs or patterns
    for notebook in item.runs:
        for pattern in item.runs[notebook]:
            there = list((ROOT / "params" / "paper" / notebook).glob(f"{pattern}.yaml"))
            assert there or notebook[:2] in ("00", "21", "23", "24"), f"{notebook}: no params/paper file {pattern}"
    sources = [(ROOT / "notebooks" / f"{notebook}.ipynb").read_text() for notebook in item.runs]
    package = "".join(path.read_text() for path in (ROOT / "vddlib").rglob("*.py"))
    for name in item.draws:
        if name.startswith("/"):
            found = [path for scale in maps.SHOWN for path in (ROOT / "figures" / scale).glob(f"{name[1:]}.*")]
            assert found, name
        else:
            drawn = re.compile(rf'f?\\?"{name}\\?"|"{name}_|\\"{name}_')
            literal = any(drawn.search(source) for source in sources) or f'"{name}"' in package
            made = any((ROOT / "figures").glob(f"*/{notebook}/*/{name}.*") for notebook in item.runs)
            assert literal or made, name


def test_what_it_leaves_out_is_named(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "99_new.ipynb").write_text("{}")
    (tmp_path / "params" / "paper" / "99_new").mkdir(parents=True)
    (tmp_path / "params" / "paper" / "99_new" / "miniucf.yaml").write_text("")
    said = maps.missing(tmp_path)
    assert "99_new.ipynb" in said and "params/paper/99_new/miniucf.yaml" in said
    assert "04_dm.ipynb, which is not there" in said
