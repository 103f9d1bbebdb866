"""How students learn from a set and how they are tested: the protocols of the literature, as data."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vddlib.core.errors import VddError, first_mistake, unknown
from vddlib.training.fit import Recipe


class Protocol(BaseModel):
    """How students learn from a set and how they are tested. The letters of PROTOCOLS stand for practices in the literature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str = Field(description="who evaluates like this")
    student: str = Field("minic3d", description="architecture")
    labels: Literal["hard", "learned", "soft", "teacher"] = Field(
        "hard",
        description="class indices; labels the method learned; soft labels it stored; a teacher's logits of each view",
    )
    augmentation: tuple[str | tuple[str, dict], ...] = Field(
        (), description="names in vddlib.training.augmentations, with options or without, applied to training batches"
    )
    real_flip: bool = Field(True, description="flips when the set is the whole train split, redrawn every epoch")
    own_labels: bool = Field(
        True, description="whether labels that a set stores count; else only the classes of its clips"
    )
    recipe: Recipe = Field(Recipe(), description="how the student is trained")
    test_passes: int = Field(1, ge=1, description="passes over the test set whose accuracies are averaged")
    test_redraw: bool = Field(
        False, description="draw start and flip anew in each pass; else the middle clip, unflipped"
    )
    motion: bool = Field(False, description="tests students on stilled, shuffled and reversed clips besides")
    metrics: tuple[str, ...] = Field(("top1",), description="what is published under it; records hold all four")
    seeds: int = Field(3, ge=1, description="students trained, as published")
    unstated: str = Field("", description="what the papers leave open, and what is used here")


# VDSD's recipe, shared by most papers.
_A = Recipe(optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4, epochs=500, batch_size=256, schedule="drop")
# SRe2L's recipe for students of soft labels; TSGF names none.
_D = Recipe(
    optimizer="adamw", lr=1e-3, weight_decay=0.01, epochs=300, batch_size=256, schedule="cosine", loss="kl",
    temperature=20,
)  # fmt: skip
# Of the student of the Video-DC study, with cosine and steps in place of epochs; see vddlib.evaluation.fair.
_F = Recipe(optimizer="adamw", lr=1e-3, weight_decay=0.01, steps=300, batch_size=16, schedule="cosine")
_FAIR = {
    "student": "minic3d_bn", "augmentation": ("random_resized_crop", "flip"), "own_labels": False, "test_passes": 5,
    "test_redraw": True, "motion": True, "seeds": 5,
}  # fmt: skip
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="A",
            source="VDSD; OptDistill",
            recipe=_A,
            test_passes=3,
            test_redraw=True,
            seeds=3,
            unstated="published: best checkpoint on the test set, batches standardised by themselves; "
            "here: last checkpoint, dataset statistics",
        ),
        Protocol(
            name="A'",
            source="FRePo",
            labels="learned",
            augmentation=("flip",),
            recipe=Recipe(
                optimizer="adam", lr=1e-4, weight_decay=0, epochs=1000, batch_size=256, schedule="constant", loss="mse"
            ),
            test_passes=3,
            test_redraw=True,
        ),
        Protocol(
            name="A-regions",
            source="OptDistill's section 4.4: tiles of a mosaic, each with its own soft label",
            labels="soft",
            recipe=_A,
            test_passes=3,
            test_redraw=True,
            unstated="the teacher and the temperature of the labels; here a network trained on the train split, 1, "
            "and the mean over four starts of a clip",
        ),
        Protocol(
            name="B",
            source="IDTD",
            augmentation=("temporal_crop",),
            recipe=_A,
            test_passes=3,
            test_redraw=True,
            unstated="trained 'until the loss converges', and the test; here A's recipe and test",
        ),
        Protocol(
            name="C",
            source="diffusion models (VST-UNet, TAC-DT)",
            student="c3d",
            recipe=_A,
            metrics=("top1", "auc", "f1"),
            seeds=5,
            unstated="recipe and augmentation; here A's recipe, no augmentation, the middle test clip",
        ),
        Protocol(
            name="D",
            source="TSGF",
            labels="soft",
            augmentation=("tsgf_videomix",),
            recipe=_D,
            unstated="recipe, temperature, epochs, threshold, window; here SRe2L's, and values chosen on training data",
        ),
        Protocol(
            name="D+",
            source="TSGF, labels after the augmentation (algorithm 1), for every view",
            labels="teacher",
            augmentation=("tsgf_videomix",),
            recipe=_D,
            unstated="as D; algorithm 1 augments and labels once, here each time a clip is seen",
        ),
        Protocol(
            name="E",
            source="Video-DC study",
            student="minic3d_bn",
            labels="teacher",
            augmentation=("random_resized_crop", "flip"),
            recipe=Recipe(
                optimizer="adamw", lr=1e-3, weight_decay=0.01, epochs=300, batch_size=10, schedule="constant",
                loss="mse+ce", ce_weight=0.1,
            ),
            unstated="published: best checkpoint on the validation set; here: last",
        ),
        Protocol(name="F", source="here: one way to learn for every method, hard labels", recipe=_F, **_FAIR),
        Protocol(
            name="F-soft",
            source="here: as F, with the labels of one teacher for every view, the same for every method",
            labels="teacher",
            recipe=_F.model_copy(update={"loss": "kl", "temperature": 4.0}),
            **_FAIR,
        ),
    )
}  # fmt: skip


def named(name: str) -> Protocol:
    """The protocol `name` as published. Raises VddError for an unknown one."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def protocol(name: str, *, augmentation: tuple | None = None, **changes) -> Protocol:
    """The protocol `name`; `changes` replace fields of its recipe (epochs, batch_size, lr...).

    `augmentation` replaces its augmentations: names in vddlib.training.augmentations, or (name, options).

    Raises VddError for an unknown protocol or field.
    """
    chosen = named(name)
    try:
        recipe = Recipe(**{**chosen.recipe.model_dump(), **changes})  # model_copy would not check the changes
    except ValidationError as error:
        raise VddError(": ".join((f"protocol {name}", *first_mistake(error)))) from None
    names = chosen.augmentation if augmentation is None else tuple(augmentation)
    return chosen.model_copy(update={"recipe": recipe, "augmentation": names})
