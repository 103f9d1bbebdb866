"""The idea of every method as boxes and arrows, drawn at the head of its notebook."""

from vddlib.core.errors import unknown
from vddlib.plots.flow import Box, Flow, flow
from vddlib.plots.style import Drawing

FLOWS = {
    "dm": Flow(
        {
            "real": Box("real clips $T_c$\nother ones each time", 0, 0),
            "set": Box("distilled clips $S_c$", 0, 1),
            "net": Box("$\\psi$: a network with\nrandom weights", 1, 0.5),
            "means": Box("mean embedding of\nreal and distilled", 2, 0.5),
            "loss": Box("$L$: squared distance,\nsummed over classes", 3, 0.5),
        },
        [("real", "net"), ("set", "net"), ("net", "means"), ("means", "loss")],
        [("loss", "means"), ("means", "net"), ("net", "set")],
        ["set"],
    ),
    "static_dc": Flow(
        {
            "real": Box("real frames\none of each clip", 0, 0),
            "set": Box("distilled images", 0, 1),
            "net": Box("an image network", 1, 0.5),
            "grads": Box("gradients of both\nin its weights", 2, 0.5),
            "loss": Box("1 - cosine, layer\nby layer", 3, 0.5),
        },
        [("real", "net"), ("set", "net"), ("net", "grads"), ("grads", "loss")],
        [("loss", "grads"), ("grads", "net"), ("net", "set")],
        ["set"],
    ),
    "mtt": Flow(
        {
            "start": Box("expert after\n$t$ epochs, $\\theta^*_t$", 0, 0),
            "set": Box("distilled clips $S$", 0, 1),
            "rate": Box("rate $\\alpha$", 1, 1),
            "walk": Box("$N$ steps of a\nstudent on $S$", 1, 0),
            "end": Box("where it is,\n$\\hat\\theta_{t+N}$", 2, 0),
            "goal": Box("expert after\n$t+M$, $\\theta^*_{t+M}$", 2, 1),
            "loss": Box("$L$: distance over\nthe expert's way", 3, 0.5),
        },
        [("start", "walk"), ("set", "walk"), ("rate", "walk"), ("walk", "end"), ("end", "loss"), ("goal", "loss")],
        [("loss", "end"), ("end", "walk"), ("walk", "set"), ("walk", "rate")],
        ["set", "rate"],
    ),
    "frepo": Flow(
        {
            "real": Box("real clips", 0, 0),
            "set": Box("distilled clips $S$", 0, 1),
            "net": Box("a network out\nof the pool", 1, 0.5),
            "ridge": Box("ridge regression of\n$y$ on features of $S$", 2, 0.5),
            "labels": Box("labels $y$ of $S$", 2, 1.5),
            "loss": Box("error on the\nreal clips", 3, 0.5),
        },
        [("real", "net"), ("set", "net"), ("net", "ridge"), ("labels", "ridge"), ("ridge", "loss")],
        [("loss", "ridge"), ("ridge", "net"), ("net", "set"), ("ridge", "labels")],
        ["set", "labels"],
    ),
    "vdsd": Flow(
        {
            "static": Box("static memory\nimages", 0, 0),
            "dynamic": Box("dynamic memory\none channel, $T$ frames", 0, 1),
            "both": Box("image repeated,\nmemory beside it", 1, 0.5),
            "net": Box("hallucinator\nConv3d, 4 to 3", 2, 0.5),
            "clip": Box("clip", 3, 0.5),
            "loss": Box("the loss of DM,\nMTT or FRePo", 4, 0.5),
        },
        [("static", "both"), ("dynamic", "both"), ("both", "net"), ("net", "clip"), ("clip", "loss")],
        [("loss", "clip"), ("clip", "net"), ("both", "dynamic"), ("net", "both")],
        ["dynamic", "net"],
    ),
    "idtd": Flow(
        {
            "pool": Box("feature pool", 0, 0.5),
            "select": Box("$K$ selectors", 1, 0.5),
            "parts": Box("$K$ segments", 2, 0.5),
            "fuse": Box("fusor: convolution\nover time", 3, 0.5),
            "clip": Box("clip", 4, 0.5),
            "far": Box("apart from each other\n+ DM's loss", 2, 1.5),
            "loss": Box("DM's loss", 4, 1.5),
        },
        [("pool", "select"), ("select", "parts"), ("parts", "fuse"), ("fuse", "clip"), ("parts", "far"), ("clip", "loss")],
        [("loss", "clip"), ("clip", "fuse"), ("fuse", "parts"), ("far", "parts"), ("parts", "select"), ("select", "pool")],
        ["pool", "select", "fuse"],
    ),
    "tsgf": Flow(
        {
            "labels": Box("soft labels, when\nall is done", 2, 0),
            "set": Box("clips $x$", 0, 1),
            "teacher": Box("teacher $\\phi_T$,\nfixed", 1, 1),
            "loss": Box("class + BatchNorm\nstatistics, $L$", 2, 1),
            "saliency": Box("saliency $s$\nof each frame", 0, 2),
            "mask": Box("gradient of each\nframe times mask $M$", 1, 2),
        },
        [("set", "teacher"), ("teacher", "loss"), ("teacher", "labels"), ("set", "saliency"), ("saliency", "mask")],
        [("loss", "mask"), ("mask", "set")],
        ["set"],
    ),
    "optdistill": Flow(
        {
            "video": Box("video", 0, 0),
            "found": Box("detector on the\nfirst frame: boxes", 1, 0),
            "tracked": Box("tracker: each box\nthrough the video", 2, 0),
            "crops": Box("crops along it", 3, 0),
            "score": Box("scored by a\nclassifier", 3, 1),
            "mosaic": Box("the best, $N \\times N$\nto a distilled video", 2, 1),
            "labels": Box("a soft label\nper tile", 1, 1),
        },
        [
            ("video", "found"), ("found", "tracked"), ("tracked", "crops"), ("crops", "score"), ("score", "mosaic"),
            ("mosaic", "labels"),
        ],
    ),
    "latte": Flow(
        {
            "clip": Box("training clip", 0, 0),
            "latents": Box("autoencoder:\nlatents of its frames", 1, 0),
            "noise": Box("noise, as much as\ntime $t$ says", 1, 1),
            "net": Box("Latte, given $t$\nand the class", 2, 0),
            "loss": Box("squared error\nin the noise", 3, 0.5),
        },
        [("clip", "latents"), ("latents", "net"), ("noise", "net"), ("net", "loss"), ("noise", "loss")],
        [("loss", "net")],
        ["net"],
    ),
    "vst_unet": Flow(
        {
            "pool": Box("latents of all videos\nof a class", 0, 0.5),
            "net": Box("VST-UNet", 1, 0.5),
            "features": Box("features, classes", 2, 0),
            "scores": Box("a score per video:\nthe highest are kept", 2, 1),
            "loss": Box("classified, diverse,\nrepresentative", 3, 0.5),
        },
        [("pool", "net"), ("net", "features"), ("net", "scores"), ("features", "loss"), ("scores", "loss")],
        [("loss", "features"), ("loss", "scores"), ("features", "net"), ("scores", "net")],
        ["net"],
    ),
}  # fmt: skip


def draw(method: str) -> Drawing:
    """The picture of a method. Raises VddError for one that has none."""
    if method not in FLOWS:
        raise unknown("flow", method, FLOWS)
    return flow(FLOWS[method])
