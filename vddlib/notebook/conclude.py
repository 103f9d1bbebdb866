"""The sentences a notebook ends with: their numbers and their verdicts are computed from the run's own values."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from IPython.display import Markdown

from vddlib.core.errors import VddError

MOST_SENTENCES = 5
NOT_TOLD_APART = "not told apart"


def verdict(ours: Sequence[float], reference: Sequence[float], confidence: float = 0.95) -> str:
    """'above', 'below' or 'not told apart': `ours` against `reference`, paired (one value of each per seed).

    Student's t-test of the differences, two-sided: they are told apart where the mean difference is larger than its
    standard error times the t quantile of `confidence` at n - 1 degrees of freedom. One seed never tells two things apart.
    Raises VddError where the lengths differ, nothing is given or a value is not finite.
    """
    differences = _differences(ours, reference)
    mean, n = fmean(differences), len(differences)
    if n == 1 or abs(mean) <= stdev(differences) / math.sqrt(n) * t_quantile(n - 1, confidence):
        return NOT_TOLD_APART
    return "above" if mean > 0 else "below"


def compare_by_seed(
    name: str,
    ours: Sequence[float],
    reference_name: str,
    reference: Sequence[float],
    unit: str = "points",
    decimals: int = 1,
    over: str = "seeds",
) -> str:
    """One sentence: "DM is 1.3 points above Random (std 1.9 over 3 seeds): not told apart."

    `ours` and `reference` hold one value per seed, in the same order; the std is that of their differences (n - 1 in the
    denominator), the judgement `verdict`'s. A fixed number (chance, a published mean) is a reference that repeats it.
    Raises VddError as `verdict` does.
    """
    differences = _differences(ours, reference)
    mean, over_seeds = fmean(differences), spread(differences, f".{decimals}f", over)
    size = f"{abs(mean):.{decimals}f}"
    side = "above" if mean > 0 else "below"
    told = NOT_TOLD_APART if verdict(ours, reference) == NOT_TOLD_APART else "told apart"
    if float(size) == 0:
        return f"{name} is level with {reference_name} to within {10**-decimals:g} {unit} ({over_seeds}): {told}."
    return f"{name} is {size} {unit} {side} {reference_name} ({over_seeds}): {told}."


def mean_by_seed(name: str, values: Sequence[float], unit: str = "%", decimals: int = 1, over: str = "seeds") -> str:
    """One sentence: "DM reaches 18.8 % (std 3.7 over 3 seeds)." Raises VddError where a value is missing or not finite."""
    values = _finite(values)
    return f"{name} reaches {fmean(values):.{decimals}f} {unit} ({spread(values, f'.{decimals}f', over)})."


def spread(values: Sequence[float], form: str, over: str = "seeds") -> str:
    """ "std 1.9 over 3 seeds", or "one seed"; `form` is the number's format, such as '.1f', `over` what values are of."""
    return f"std {stdev(values):{form}} over {len(values)} {over}" if len(values) > 1 else "one seed"


def conclusion(sentences: Sequence[str]) -> Markdown:
    """The end of a notebook as a Markdown list. Raises VddError for none, or for more than five."""
    sentences = list(sentences)
    if not 1 <= len(sentences) <= MOST_SENTENCES:
        raise VddError(f"conclusion: {len(sentences)} sentences; a notebook ends in 1 to {MOST_SENTENCES}")
    return Markdown("\n".join(f"- {sentence}" for sentence in sentences))


def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """The two-sided quantile of Student's t: with probability `confidence`, abs(t) is below it."""
    from scipy.special import stdtrit  # scikit-learn requires scipy, so it is always there

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _differences(ours: Sequence[float], reference: Sequence[float]) -> list[float]:
    """The paired differences, one per seed."""
    ours, reference = _finite(ours), _finite(reference)
    if len(ours) != len(reference):
        raise VddError(f"{len(ours)} values against {len(reference)}: a comparison by seed needs one of each per seed")
    return [a - b for a, b in zip(ours, reference, strict=True)]


def _finite(values: Sequence[float]) -> list[float]:
    values = [float(value) for value in values]
    if not values or not all(map(math.isfinite, values)):
        raise VddError(f"cannot compare by seed: {values or 'no values'}; every seed needs a finite number")
    return values
