"""Find where to cut a prior for a task, and what each code draws.

    python examples/analyse_a_prior.py
    python examples/analyse_a_prior.py --task missing --cuts 3 5 7 9 --codes 1 10 20 -o study

It takes a bundled sample whose undamaged state is known. For your own image put
``read_image(Path("cells.tif")).array`` in place of ``sample.truth``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_mganprior import CodeRoles, LayerStudy, StudyConfig, load_prior
from napari_mganprior.analysis import STUDIES, study_plot
from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files import write_atomically, write_image
from napari_mganprior.priors import find_prior
from napari_mganprior.samples import SAMPLES, load_sample


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments and do it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--prior", default="nuclei", help="a prior's name or its file")
    parser.add_argument("--sample", default="nuclei_bubble", choices=SAMPLES)
    parser.add_argument("--task", default="invert", choices=STUDIES)
    parser.add_argument("--cuts", type=int, nargs="+", default=[3, 5, 7, 9])
    parser.add_argument("--codes", type=int, nargs="+", default=[1, 10, 20])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("-o", "--output", type=Path, default=Path("study"), help="a folder")
    args = parser.parse_args(argv)
    truth = load_sample(args.sample).truth
    try:
        prior = load_prior(find_prior(args.prior))
        config = StudyConfig(
            task=args.task, cuts=tuple(args.cuts), codes=tuple(args.codes), n_steps=args.steps
        )
        study = LayerStudy(truth, prior, config)
        for step in study:
            if step.row is not None:
                print(f"{step.doing}: PSNR {step.row.psnr:.2f} dB", flush=True)
        found = study.result()
        print(found.finding())
        write_atomically(args.output / "study.csv", found.to_csv().encode())
        write_atomically(args.output / "study.svg", study_plot(found).encode())

        roles = CodeRoles(truth, prior, quality="fast")
        for _ in roles:
            pass
        seen = roles.result()
        write_image(args.output / "roles.tif", seen.labels, recipe=seen.recipe)
    except MGANPriorError as error:  # its message says what to do
        print(error, file=sys.stderr)
        return 1
    shares = seen.shares()
    first = shares.index(max(shares)) + 1
    print(f"code {first} of {len(shares)} is first in {100 * max(shares):.0f} % of the pixels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
