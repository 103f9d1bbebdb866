"""The README's table is that of the committed records, and says what the fair tables say."""

import re

from tests.conftest import ROOT
from tests.results.made import fair_records
from vddlib.results import headline
from vddlib.results.fair import comparisons
from vddlib.results.records import to_csv


def test_the_readme_has_the_table_of_the_committed_records():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(headline.BEGIN) == text.count(headline.END) == 1
    assert headline.inserted(text) == text, "run `python -m vddlib.results.headline`"


def test_its_numbers_are_those_of_the_fair_table():
    table = headline.table().set_index("method")
    fair = (ROOT / "figures/miniucf10/fair_table.md").read_text(encoding="utf-8")
    block = fair[fair.index("MiniUCF10 · IPC 5") :]
    row = next(line for line in block.splitlines() if line.startswith("| TSGF "))
    shown = re.search(r"[-+]\d+\.\d \[[-+]\d+\.\d, [-+]\d+\.\d\]", table.loc["TSGF", "`miniucf10` IPC 5"])[0]
    assert shown in row
    assert table.loc["TSGF", "`miniucf10` IPC 5"].startswith("**") == ("<sub>" not in row.split("|")[3])


def test_what_was_not_measured_is_empty_and_what_is_told_apart_is_bold(tmp_path):
    for scale, dataset in (("miniucf10", "miniucf10"), ("quick", "motions")):
        (tmp_path / "figures" / scale).mkdir(parents=True)
        df = fair_records().assign(dataset=dataset)
        (tmp_path / "figures" / scale / "records.csv").write_text(to_csv(df))
    table = headline.table(tmp_path).set_index("method")
    assert list(table) == [
        "`miniucf10` IPC 1",
        "`miniucf10` IPC 5",
        "`motions` IPC 1",
        "`motions` IPC 5",
    ]  # none at IPC 10
    told = (
        comparisons(fair_records().assign(dataset="motions")).query("protocol == 'F' and ipc == 5").set_index("method")
    )
    for method, printed in (("tsgf", "TSGF"), ("kcenter", "K-Center"), ("dm", "DM")):
        assert table.loc[printed, "`motions` IPC 5"].startswith("**") == bool(told.loc[method, "told_apart"])
    assert "±" not in table.to_string() and table.loc["Random", "`motions` IPC 5"].count("[") == 1
    assert headline.inserted(f"a\n{headline.BEGIN}\nold\n{headline.END}\nb", tmp_path).endswith(f"{headline.END}\nb")
