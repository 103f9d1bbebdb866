"""What a params file asks to be computed, counted from its values alone: how many clips pass through which network, and how.

An estimate for whoever plans hours on a cluster. It counts as if the cache were empty; decoding, pictures and losses are left
out, and OptDistill's tracker, which runs on CPUs, comes apart.
"""

from collections.abc import Callable, Iterator

from vddlib.notebook import idtd_runs, tsgf_cases
from vddlib.notebook.flops import Forward, of_latte, of_ms_tcn, of_videomae
from vddlib.notebook.plan import ADAM, LEARN, LONG_VIDEOS, LOOK, Plan, Work

YOLOV5S = 16.5e9  # operations per frame of 640 x 640, as published by its authors
CSRT_SECONDS = 0.026  # per frame and box on a core (measured at 320 x 240)
MEAN_FRAMES = {"hmdb51": 96, "hmdb51-vdsd": 96}  # of a video; UCF101's elsewhere
UCF101_FRAMES = 186


def full_data(plan: Plan) -> Iterator[Work]:
    yield from plan.students(clips=plan.train)


def coresets(plan: Plan) -> Iterator[Work]:
    yield from plan.students(len(plan.methods))
    embedding = plan.network("minic3d", **plan.student_options)
    yield plan.trained(
        "embedding networks", embedding, plan.seeds, plan.embedding_epochs, plan.train, plan.embedding_batch_size
    )
    yield Work("embeddings", embedding, plan.seeds * 2 * plan.train, LOOK)


def dm(plan: Plan) -> Iterator[Work]:
    yield from plan.dm(plan.p, plan.network())
    yield from plan.students(2)  # beside random clips, as in every method's notebook


def static_dc(plan: Plan) -> Iterator[Work]:
    yield from plan.static_dc(plan.p, plan.clips)
    yield from plan.students(2)


def mtt(plan: Plan) -> Iterator[Work]:
    experts = {"count": plan.experts, "batch_size": plan.expert_batch_size}
    yield from plan.mtt(plan.p, experts, plan.network())
    yield from plan.students(2)


def frepo(plan: Plan) -> Iterator[Work]:
    yield from plan.frepo(plan.p, plan.network())
    yield from plan.students(2)


def vdsd(plan: Plan) -> Iterator[Work]:
    options, network = plan.objective_params | {"iterations": plan.iterations}, plan.network()
    yield from plan.static_dc(plan.static_params, plan.statics * plan.clips)
    match plan.objective:
        case "dm":
            yield from plan.dm(options, network)
        case "mtt":
            yield from plan.mtt(options, options.get("experts", {}), network)
        case _:
            yield from plan.frepo(options, network)
    yield from plan.students(2)


def idtd(plan: Plan) -> Iterator[Work]:
    yield from plan.dm(plan.p, plan.network(), per_clip=1 + plan.selectors)
    if plan.p["dm"]:
        yield from plan.dm(plan.p["dm"], plan.network(), sets=1)  # one to look at beside it (figure 5)
    yield from plan.students(2)


def idtd_ablations(plan: Plan) -> Iterator[Work]:
    cases = idtd_runs.cases_of(plan.experiment, plan.selectors, plan.lengths)
    for case in cases:
        options = plan.vdsd if case.distiller == "dm+vdsd" else plan.idtd
        if case.distiller != "random_stitched":
            segments = plan.selectors if case.distiller == "idtd" else 0
            yield from plan.dm({"iterations": 5000} | options, plan.network(), per_clip=1 + segments)
    yield from plan.students(len(cases) + 1)


def tsgf(plan: Plan) -> Iterator[Work]:
    # The teacher, a second one that judges its clips, and a student of all videos to compare with.
    yield plan.teachers(3, plan.teacher_epochs, plan.teacher_batch_size, plan.teacher_network())
    yield plan.tsgf(plan.p, sets=plan.seeds + 1)  # one more without the mask, to look at beside it, and one of DM
    if plan.p["dm"]:
        yield from plan.dm(plan.p["dm"], plan.network(), sets=1)
    yield from plan.students(2)
    if plan.hard_epochs:
        yield from plan.students(2, epochs=plan.hard_epochs)


def tsgf_ablations(plan: Plan) -> Iterator[Work]:
    halves = {"static": ["a"], "dynamic": ["b"]}
    cases = tsgf_cases.cases_of(
        plan.experiment, values=plan.values, vary=plan.vary, students=plan.p["students"], sgd=plan.sgd, whole=plan.whole,
        groups=halves,
    )  # fmt: skip
    for case in cases:
        clips = plan.classes * (case.ipc or plan.ipc)
        network = plan.network(case.student, frames=case.frames or plan.frames)
        yield from plan.students(1, clips, network)
    made = {(str(c.change), c.frames, c.ipc, c.subset) for c in cases if c.method.startswith("tsgf")}
    for _, frames, ipc, subset in sorted(made, key=str):
        share = 0.5 if subset else 1  # of the classes
        yield plan.tsgf(
            plan.method, clips=round(plan.classes * share) * (ipc or plan.ipc), frames=frames or plan.frames
        )
    for frames, _ in sorted(
        {(frames, subset) for _, frames, _, subset in made}, key=str
    ):  # a teacher of each, and a judge
        yield plan.teachers(
            2, plan.teacher_epochs, plan.teacher_batch_size, plan.teacher_network(frames or plan.frames)
        )


def followed(plan: Plan) -> float:
    """Videos that OptDistill's detector and tracker see: all, or as many of each class as were chosen beforehand."""
    return min(plan.train, plan.preselect * plan.classes) if plan.preselect else plan.train


def tracking_seconds(plan: Plan) -> float:
    """Of one core, for OptDistill's tracker: every frame and box of the videos that it sees; 0 for other methods."""
    if "boxes" not in plan.p:
        return 0.0
    frames = MEAN_FRAMES.get(plan.dataset, UCF101_FRAMES)
    return followed(plan) * min(frames, plan.longest or frames) * plan.boxes * CSRT_SECONDS


def optdistill(plan: Plan) -> Iterator[Work]:
    variants = 1 + len(plan.compare)
    teacher = plan.network("minic3d", **plan.student_options)
    yield Work("detection", Forward(YOLOV5S, 0, 30e6), followed(plan), LOOK)
    score = plan.network("r3d_18") if plan.scorer == "r3d_18" else teacher
    yield Work("scores", score, followed(plan) * plan.boxes, LOOK)
    yield plan.teachers(1, plan.teacher_epochs, plan.teacher_batch_size, teacher)
    yield from plan.students(2 + variants)
    yield from plan.students(variants, clips=plan.clips * plan.side**2, epochs=plan.region_epochs)


def storage(plan: Plan) -> Iterator[Work]:
    yield from _distilled(plan)
    yield plan.trained("observer", plan.network(), 1, plan.observer_epochs, plan.train, plan.observer_batch_size)
    yield from plan.students(len(plan.methods) * (2 if plan.from_files else 1))


def _distilled(plan: Plan) -> Iterator[Work]:
    """Sets of the methods that a params file names with their options."""
    for name, options in plan.methods.items():
        network = plan.network("minic3d")
        match name:
            case "dm":
                yield from plan.dm(options, network)
            case "mtt":
                yield from plan.mtt(options, options.get("experts", {}), network)
            case "frepo":
                yield from plan.frepo(options, network)
            case "static_dc":
                yield from plan.static_dc(options, plan.clips)
            case "tsgf":
                epochs, batch = plan.p.get("teacher_epochs", 500), plan.p.get("teacher_batch_size", 256)
                yield plan.teachers(1, epochs, batch, plan.teacher_network())
                yield plan.tsgf(options)


def latte_pool(plan: Plan) -> Iterator[Work]:
    yield from _latte(plan)
    yield from plan.students(2, clips=plan.train)


def _latte(plan: Plan) -> Iterator[Work]:
    o = plan.latte
    network = of_latte(
        plan.classes, plan.frames, o["size"] or plan.size, o["depth"], o["width"], o["heads"], o["patch"]
    )
    yield Work(
        "generator", network, o["steps"] * o["batch_size"], LEARN, o["batch_size"], ADAM + 1
    )  # and the averaged weights
    guided = 2 if o.get("guidance", 7.0) != 1 else 1
    made = plan.classes * o.get("per_class", 100)
    yield Work("generated videos", network, made * o.get("sample_steps", 250) * guided, LOOK)


def select_videos(plan: Plan) -> Iterator[Work]:
    pool = plan.train
    if plan.pool == "generated":
        pool = plan.classes * plan.latte.get("per_class", 100)
        yield from _latte(plan)
    if plan.p.get("embedder") == "videomae":
        yield Work("embeddings", of_videomae(), pool + plan.train, LOOK)
    yield from plan.students(len(plan.methods))


def selection_ablations(plan: Plan) -> Iterator[Work]:
    if plan.pool == "generated":
        yield from _latte(plan)
    yield from plan.students({"losses": 4, "printed": 4}.get(plan.experiment, len(plan.embedders)))


def architectures(plan: Plan) -> Iterator[Work]:
    yield from _distilled(plan)
    for name, options in plan.p["students"].items():
        for recipe in plan.recipes.values():
            network = plan.network(name, **options)
            changed = {"epochs": recipe["epochs"], "batch_size": recipe["batch_size"]}
            yield from Plan(plan.p | changed).students(len(plan.methods), network=network)


def segmentation(plan: Plan) -> Iterator[Work]:
    videos, classes, features = LONG_VIDEOS[plan.dataset]
    network = of_ms_tcn(classes, features, plan.stages, plan.layers, plan.width)
    runs = len(plan.folds) * plan.seeds * len(plan.methods)
    yield Work("MS-TCN", network, runs * plan.epochs * videos, LEARN, 1, ADAM)


WORK: dict[str, Callable[[Plan], Iterator[Work]]] = {
    "02_students_and_full_data": full_data, "03_coresets": coresets, "04_dm": dm, "05_static_dc": static_dc, "06_mtt": mtt,
    "07_frepo": frepo, "08_vdsd": vdsd, "09_idtd": idtd, "10_idtd_ablations": idtd_ablations, "11_tsgf": tsgf,
    "12_tsgf_ablations": tsgf_ablations, "13_optdistill": optdistill, "14_storage_and_information": storage,
    "15_latte_pool": latte_pool, "16_select_videos": select_videos, "17_selection_ablations": selection_ablations,
    "18_cross_architecture": architectures, "19_action_segmentation": segmentation,
}  # fmt: skip
