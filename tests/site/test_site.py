"""The reading room as files: what a page shows and folds, links that lead somewhere, what is refused."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest

from vddlib.core.errors import VddError
from vddlib.notebook.reopen import reopened
from vddlib.results import records
from vddlib.site import pages
from vddlib.site.build import build
from vddlib.site.explorer import explored
from vddlib.site.gallery import plain
from vddlib.site.runs import document, finished


class References(HTMLParser):
    """What a page links to or loads, and the names on it that a link may lead to."""

    def __init__(self):
        super().__init__()
        self.links, self.loads, self.names, self.images = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("script", "img", "video", "source") and given.get("src"):
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given["href"])
        if tag == "img":
            self.images.append(given)


def parsed(path):
    found = References()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site):
    read = {path: parsed(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert len(read) > 10
    for path, found in read.items():
        for one in [*found.links, *found.loads]:
            parts = urlsplit(one)
            if parts.scheme == "data" or (parts.scheme in ("http", "https") and one in found.links):
                continue
            assert not parts.scheme and not parts.netloc, f"{path.name} loads {one}"
            assert not parts.path.startswith("/"), f"{path.name}: {one} breaks below another address"
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.relative_to(site)}: {one} is not there"
            if parts.fragment and target in read:
                assert unquote(parts.fragment) in read[target].names, f"{path.relative_to(site)}: {one}"


def test_pictures_are_described_and_say_what_draws_them(site):
    images = [image for path in site.rglob("notebooks/*.html") for image in parsed(path).images]
    assert images and all((image.get("alt") or "").strip() for image in images)
    assert any("Clips: what page.losses() draws" in image["alt"] for image in images)


def test_a_notebook_is_folded_where_nobody_reads(project):
    runs = finished(project, "quick")["04_dm"]
    assert [document(runs, run) for run in runs] == ["notebooks/04_dm", "notebooks/04_dm/motions_ipc1"]
    page = pages.notebook_page(runs[0], runs)
    parameters, imports, video, picture, log, progress = [c for c in page.cells if c.cell_type == "code"]
    assert parameters.metadata.tags == ["hide-input"] == imports.metadata.tags
    assert video.metadata.tags == [] == picture.metadata.tags
    assert log.metadata.tags == ["hide-output"] and len(log.outputs[0].text.splitlines()) == 40
    assert progress.outputs[0].text.strip() == "dm seed 0: 9/9, 4 s"  # as a terminal shows it in the end
    end = page.cells[-1].source
    assert "[motions_ipc1](../notebooks/04_dm/motions_ipc1.ipynb)" in end
    assert "| took | `62 s, 900 MB` |" in end and "cccccccccccc" in end


def test_all_runs_of_a_notebook_stand_in_the_table_of_contents(site):
    for page in ("notebooks/04_dm.html", "notebooks/04_dm/motions_ipc1.html"):
        text = (site / page).read_text()
        entries = re.findall(r'toctree-l2[^>]*><a[^>]*href="([^"]*)"[^>]*>\s*motions_ipc1\s*</a>', text)
        assert entries and all(entry in ("#", "04_dm/motions_ipc1.html") for entry in entries), page


def test_chapters_say_what_is_claimed_found_and_wrong(site):
    text = (site / "papers/tsgf.html").read_text()
    for part in ("What it claims", "How it works", "Measured, and said.", "What does not add up"):
        assert part in text
    assert "notebooks/11_tsgf.html" in text
    assert all((site / f"papers/{paper}.html").is_file() for paper in pages.CHAPTERS)


def test_the_front_page_has_the_picture_and_the_fair_table(site):
    text = (site / "index.html").read_text()
    assert "fair_ipc5.png" in text and "+9.0" in text
    assert all(f"{name}.html" in text for name in ("explorer", "gallery", "glossary", "notebooks/map", "papers/idtd"))


def test_explored_rows_are_the_records(project):
    rows = explored(project, "quick", finished(project, "quick"))
    df = records.read(project / "figures/quick/records.csv")
    assert sum(row["seeds"] for row in rows) == len(df)
    for row in rows:
        assert row["top1"] == pytest.approx(sum(row["each"]) / len(row["each"]))
        assert row["low"] < row["top1"] < row["high"]
    setting = {"method": "dm", "ipc": 5, "protocol": "F", "student": "minic3d_bn"}
    dm = next(row for row in rows if setting.items() <= row.items())
    mine = df[(df[list(setting)] == pd.Series(setting)).all(axis=1)]
    assert dm["each"] == pytest.approx(mine.sort_values("seed")["top1"].tolist())
    assert dm["params"] == ["params/quick/04_dm/motions_ipc5.yaml"] and "lr: 0.1" in dm["text"]
    assert dm["pages"] == [{"name": "04_dm/motions_ipc5", "href": "notebooks/04_dm.html"}]


def test_a_site_of_nothing_is_refused(project, tmp_path):
    with pytest.raises(VddError, match="runs/smoke has no finished run"):
        build("smoke", root=project)
    for name in ("Snakefile", "pyproject.toml"):
        (tmp_path / name).write_text("")
    run = tmp_path / "runs/quick/04_dm/one.ipynb"
    run.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(), run)
    run.with_suffix(".json").write_text("{}")
    with pytest.raises(VddError, match=r"records.csv is not there"):
        build("quick", root=tmp_path)


def test_a_folder_of_somebody_else_is_not_deleted(project, tmp_path):
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years")
    with pytest.raises(VddError, match="not empty and no earlier site"):
        build("quick", output=mine, root=project)
    assert (mine / "chapter.tex").read_text() == "years"
    with pytest.raises(VddError, match="is a file"):
        build("quick", output=mine / "chapter.tex", root=project)


def test_names_of_folders_are_text_and_no_markup():
    assert plain("<img src=x onerror=alert(1)>").startswith(r"\<img") and plain("Pull Ups") == "Pull Ups"


def test_a_page_names_no_folder_of_whoever_built_it(project, monkeypatch):
    monkeypatch.setenv("VDD_CACHE", str(project / "kept"))
    output = nbformat.v4.new_output("stream", name="stdout", text=f"wrote {project}/kept/latte/looks.npy\n")
    pages._readable(output)
    assert output.text.strip() == "wrote $VDD_CACHE/latte/looks.npy"


def test_the_package_is_documented_by_room():
    made = pages.api(pages.FILES.parents[1])
    assert {"api/index", "api/core", "api/distillers", "api/site"} <= set(made)
    assert "automodule:: vddlib.distillers.matching.dm" in made["api/distillers"]


def test_open_gives_a_copy_of_the_last_run(project):
    copy = reopened("4", root=project)
    assert copy.parent == project / "runs/interactive" and copy.name.startswith("04_dm-quick-")
    copy.write_text("mine now")
    assert reopened("04_dm", root=project).read_text() == "mine now"  # of the same run
    runs = sorted((project / "runs/quick/04_dm").glob("*.ipynb"), key=lambda path: path.stat().st_mtime)
    runs[-1].write_text(runs[-1].read_text().replace("step 1", "step one"))  # run again
    newer = reopened("04_dm", root=project)
    assert newer != copy and "step one" in newer.read_text() and copy.read_text() == "mine now"
    for wrong, said in (("77", "no such notebook"), ("04_dm_x", "no such notebook")):
        with pytest.raises(VddError, match=said):
            reopened(wrong, root=project)
    with pytest.raises(VddError, match="no finished run at scale smoke"):
        reopened("4", "smoke", root=project)


def test_records_travel_with_the_site(site, project):
    copied = pd.read_csv(site / "_static/records-quick.csv")
    assert len(copied) == len(pd.read_csv(project / "figures/quick/records.csv"))
