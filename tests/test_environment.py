"""environment.yml and pyproject.toml say the same, and the locked environment is the one these tests run in."""

import re
import tomllib

import yaml

from tests.conftest import ROOT

CONDA_NAME = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
    "opencv-contrib-python-headless": "opencv",
}


def split(requirement: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*([<>=!~,0-9. ]*)", requirement.partition(";")[0].strip()).groups()
    return name, bound.replace(" ", "")


def test_conda_and_pip_name_the_same_packages_and_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge"]
    pip = next(item["pip"] for item in conda["dependencies"] if isinstance(item, dict))
    assert "-e ." in pip
    there = dict(split(item) for item in [*conda["dependencies"], *pip] if isinstance(item, str) and item != "-e .")
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *groups["dev"], *groups["opencv"]]
    extras = project["project"]["optional-dependencies"]
    wanted.remove(f"vddlib[{','.join(extras)}]")
    wanted += [requirement for extra in extras.values() for requirement in extra]
    wanted = {CONDA_NAME.get(name, name): bound for name, bound in map(split, wanted) if name != "eva-decord"}
    assert there.pop("python") == project["project"]["requires-python"].replace(" ", "")
    there.pop("pip")
    assert there == wanted


def test_opencv_has_csrt_and_is_installed_once():
    import cv2

    assert hasattr(cv2, "TrackerCSRT_create")
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    assert [p["name"] for p in lock["package"] if p["name"].startswith("opencv")] == ["opencv-contrib-python-headless"]


def test_torchvision_and_torch_belong_together():
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2.1], [5, 5, 6, 6]])
    assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
