"""Groups of classes by motion, and accuracy by them."""

import pytest
import torch

from vddlib.evaluation.evaluate import Report
from vddlib.notebook.groups import group_table, motion_groups


class Moving:
    """Clips of one video per class; class number k changes by k between neighbouring frames."""

    dataset, classes = "made", ("fast", "still", "slow", "slower")
    speed = (9.0, 0.0, 2.0, 1.0)

    def of_class(self, label: int) -> torch.Tensor:
        return torch.tensor([label])

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        steps = torch.tensor([self.speed[i] for i in indices]).view(-1, 1, 1, 1, 1) * torch.arange(4.0).view(
            1, 1, -1, 1, 1
        )
        return steps.expand(-1, 3, -1, 2, 2), indices


def test_classes_are_halved_by_how_much_they_move():
    assert motion_groups(Moving()) == {"static": ("still", "slower"), "dynamic": ("slow", "fast")}


def test_the_groups_of_motions_are_known():
    made = Moving()
    made.dataset = "motions"
    assert motion_groups(made)["dynamic"] == ("Rise", "Fall", "Grow", "Shrink")


def test_accuracy_by_group_against_a_case_by_hand():
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    guesses = [torch.tensor([0, 1, 1, 2, 0, 0]), torch.tensor([0, 0, 1, 2, 2, 2])]
    logits = [torch.nn.functional.one_hot(one, 3).float() for one in guesses]
    report = Report([], logits, labels, ("a", "b", "c"))
    table = group_table({"DM": report}, {"still": ("a", "b"), "moving": ("c",)})
    still, moving = table.iloc[0], table.iloc[1]
    assert list(table.columns) == ["method", "classes", "top1", "std", "n"] and still["method"] == "DM"
    assert still["top1"] == pytest.approx(100 * (2 / 3 + 1) / 2) and moving["top1"] == pytest.approx(
        100 * (1 / 3 + 1) / 2
    )
    assert moving["std"] == pytest.approx(100 * (2 / 3) / 2**0.5, rel=1e-5) and moving["n"] == 2
