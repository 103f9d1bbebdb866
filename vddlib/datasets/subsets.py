"""Smaller datasets out of UCF101: which of its classes and videos they take."""

from collections.abc import Mapping
from pathlib import Path

from vddlib.datasets import layouts
from vddlib.datasets.layouts import Entry, Listing

# VDSD's MiniUCF; the paper calls them the 50 most common classes of UCF101, which they are not.
MINIUCF = tuple(
    """
    ApplyEyeMakeup BalanceBeam BandMarching BaseballPitch Basketball BasketballDunk Biking Billiards BlowingCandles
    Bowling BreastStroke CleanAndJerk CliffDiving CricketShot Diving FloorGymnastics FrisbeeCatch GolfSwing
    HammerThrow HighJump HorseRace HorseRiding HulaHoop IceDancing JumpingJack Knitting MilitaryParade Mixing
    ParallelBars PlayingPiano PlayingViolin PoleVault PommelHorse Punch Rafting Rowing SkateBoarding Skiing Skijet
    SkyDiving SoccerPenalty StillRings SumoWrestling Surfing Swing TennisSwing TrampolineJumping UnevenBars
    VolleyballSpiking WritingOnBoard
    """.split()
)
# Classes told apart by body motion: on many others a student of single frames does almost as well as one of clips.
UCF10 = tuple(
    """
    BodyWeightSquats HandstandPushups HandstandWalking JumpRope JumpingJack Lunges PullUps PushUps TrampolineJumping
    WallPushups
    """.split()
)
PACES = {"slow": 1, "fast": 4}  # 8 frames at 4 times stride 1 fit into each of miniucf10's videos (35 frames at least)
LISTS = Path(__file__).with_name("lists")


def miniucf10(root: Path) -> Listing:
    """Ten of MiniUCF's classes, by lists of the package's own: official split 1 restricted to 701 and 278 of its videos.

    The lists that lie under `root` do not matter, so that everybody who has these videos measures the same ones.
    """
    return layouts.ucf(root, lists=LISTS / "miniucf10")


def tempo(root: Path) -> Listing:
    """miniucf10's videos, each once per pace: the classes say what is done and how fast the clip plays it."""
    return at_paces(miniucf10(root), PACES)


def at_paces(listing: Listing, paces: Mapping[str, int]) -> Listing:
    """Every class at every pace (name -> factor on the stride), ``CLASS slow`` beside ``CLASS fast``, of the same videos."""
    classes = tuple(f"{name} {pace}" for name in listing.classes for pace in paces)

    def entries(videos: tuple[Entry, ...]) -> tuple[Entry, ...]:
        found = []
        for video in videos:
            stem = video.name.removeprefix(f"{listing.classes[video.label]}/")
            for place, factor in enumerate(paces.values()):
                label = video.label * len(paces) + place
                found.append(Entry(video.path, label, f"{classes[label]}/{stem}", factor, video.name))
        return tuple(found)

    return Listing(classes, entries(listing.train), entries(listing.test), listing.absent)
