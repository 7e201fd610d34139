"""`thresher predict`: the error of any mix at any budget; it never loads torch."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import DeviceFlops, FlopsPerSample, Json, Mfu, argument, flag, option, price_of
from thresher.cli.text import answer, warn
from thresher.errors import InputError

if TYPE_CHECKING:
    from thresher.planning.plans.prediction import Prediction

_FORMS = ("formula", "published")


def predict(
    laws: Annotated[
        Path, argument("LAWS.json", "Laws that `thresher fit` wrote, or a file with known parameters.")
    ],
    mix: Annotated[
        list[str],
        option(
            "MIX",
            "Pools to draw from, uniformly over their pairs ('0-10% + 10-20%'), or with weights ('0.7 x "
            "0-10% + 0.3 x 10-20%'); repeat it for several.",
        ),
    ],
    budget: Annotated[
        list[str],
        option(
            "BUDGET",
            "Samples seen by the run, repeats counted (32M), its FLOPs (1e18FLOPs) or its GPU-hours "
            "(100gpu-h); repeat it for several.",
        ),
    ],
    pools: Annotated[
        Path | None,
        option(
            "POOLS",
            "Folder of the pools, or its pools.json, for their sizes.  [default: the sizes in the laws]",
        ),
    ] = None,
    params: Annotated[
        str | None, option("COUNT", "Parameters of the model (151M), where the laws depend on them.")
    ] = None,
    flops_per_sample: FlopsPerSample = None,
    device_flops: DeviceFlops = None,
    mfu: Mfu = None,
    with_noise: Annotated[
        bool, flag("--with-noise", "Add the noise of a single run to the intervals.")
    ] = False,
    form: Annotated[
        str,
        option(
            "FORM",
            "formula (the irreducible error is added last) or published (it wears off with repeats, as "
            "in the code of arXiv 2404.07177; only to compare with its table).",
        ),
    ] = "formula",
    as_json: Json = False,
) -> None:
    """Predict the error of any mix of pools at any budget.

    Reads LAWS.json and prints, for each mix and budget, the error averaged over the uncertainty of the
    laws, its interval from 5% to 95%, and how often each pair is seen. Writes nothing.

    If the parameters are known, as from a publication, LAWS.json may be written by hand: law, metric,
    shared (A, n0, d) and pools (name, b, tau, num_unique), beside "schema": "thresher.laws", "version": 1.
    Without draws there is no interval.

    Examples:
        thresher predict laws.json --mix '0-10% + 10-20%' --budget 32M --budget 128M
        thresher predict laws.json --mix '0.7 x 0-10% + 0.3 x 10-20%' --budget 1.28B --with-noise --json
    """
    from thresher.budget import parse_count
    from thresher.planning.api import predict as predict_mix
    from thresher.planning.laws.laws_file import load_laws
    from thresher.planning.laws.predict import predict_as_published
    from thresher.planning.plans.mixes import parse_mix, read_pool_sizes
    from thresher.planning.runs.nested import whole_sizes

    if form not in _FORMS:
        raise InputError(f"there is no form {form!r}; use one of {', '.join(_FORMS)}")
    known = load_laws(laws)
    size_of = {pool.name: round(pool.pool_samples) for pool in known.pools}
    sizes = read_pool_sizes(pools) if pools is not None else size_of
    price = price_of(flops_per_sample, device_flops, mfu)
    predicted = []
    for text in mix:
        weights = parse_mix(text, whole_sizes(sizes, known.within))
        for samples in budget:
            one = predict_mix(
                known,
                weights,
                samples,
                sizes=sizes,
                price=price,
                params=None if params is None else parse_count(params),
                with_noise=with_noise,
            )
            if form == "published":
                error = predict_as_published(known, one.weights, sizes, one.samples_seen)
                one = replace(one, error=error, low=error, high=error)
            predicted.append((text, one))
    if form == "published":
        warn(["d wears off with repeats in these numbers, as in the published code; plan by the formula."])
    record = [{"mix": text, **asdict(one)} for text, one in predicted]
    answer(record, _table(predicted), as_json)


def _table(predicted: Sequence[tuple[str, "Prediction"]]) -> str:
    """A row a mix and budget."""
    from thresher.budget import format_count
    from thresher.planning.runs.record import is_loss
    from thresher.tables import columns, error_text, passes_text

    loss = is_loss(predicted[0][1].metric)
    rows = []
    for text, one in predicted:
        error, low, high = (error_text(value, loss, decimals=2) for value in (one.error, one.low, one.high))
        passes = ", ".join(passes_text(count) for count in one.repeats.values())
        interval = f"{low} to {high}" if one.low < one.high else ""
        rows.append((text, format_count(one.samples_seen), error, interval, passes))
    return columns(("mix", "samples seen", predicted[0][1].metric, "5-95%", "passes"), rows)
