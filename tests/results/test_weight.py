"""What is committed stays light: no file over 1 MB (records 5), no folder of figures over 40 MB."""

from vddlib.results import weight


def test__light_folders_pass(tmp_path, capsys):
    (tmp_path / "a.svg").write_bytes(bytes(1_000_000))
    assert weight.problems(tmp_path) == [] and weight.main([str(tmp_path)]) == 0
    assert "light enough" in capsys.readouterr().out


def test__a_heavy_file_is_named(tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "frames.png").write_bytes(bytes(1_000_001))
    assert weight.main([str(tmp_path)]) == 1
    assert "frames.png: 1.0 MB" in capsys.readouterr().out


def test__records_may_grow(tmp_path):
    (tmp_path / "records.csv").write_bytes(bytes(5_000_000))
    (tmp_path / "cells.csv").write_bytes(bytes(1_000_001))
    assert [line.partition(":")[0] for line in weight.problems(tmp_path)] == [str(tmp_path / "cells.csv")]
    (tmp_path / "records.csv").write_bytes(bytes(5_000_001))
    assert len(weight.problems(tmp_path)) == 2


def test__a_heavy_folder_is_named(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(10))
    assert weight.problems(tmp_path, folder_limit=30) == []
    (line,) = weight.problems(tmp_path, folder_limit=29)
    assert line.startswith(f"{tmp_path}: ")


def test__a_missing_folder_is_a_problem(tmp_path, capsys):
    assert weight.main([str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().out
