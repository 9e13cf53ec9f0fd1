"""Edit an image from Python: look what directions do, move along two of them, keep the recipe.

Run it with an image of your own, or with none for a part of a sample::

    python examples/edit_an_image.py cells.tif -o edited.tif --strip directions.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from napari_mganprior import Editing, Editor, Reconstruction, find_directions, load_prior
from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files import check_output, read_image, write_image
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import preview_strip
from napari_mganprior.samples import load_sample


def main(argv: list[str] | None = None) -> int:
    """Edit an image; returns the exit code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", nargs="?", type=Path, help="PNG or TIFF; a sample if left out")
    parser.add_argument("-o", "--output", type=Path, default=Path("edited.tif"))
    parser.add_argument("--strip", type=Path, default=Path("directions.png"))
    parser.add_argument("--prior", default="nuclei")
    parser.add_argument("--quality", default="fast")
    chosen = parser.parse_args(argv)
    try:
        edit_one(chosen)
    except MGANPriorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def edit_one(chosen: argparse.Namespace) -> None:
    """Do what was asked for."""
    if chosen.image is None:
        image = load_sample("nuclei_bubble").truth[64:128, 64:128]
    else:
        image = read_image(chosen.image).array
    check_output(chosen.output, image, overwrite=False)
    prior = load_prior(find_prior(chosen.prior))

    # 1. the codes of the image
    inversion = Reconstruction(image, prior, quality=chosen.quality)
    for step in inversion:
        print(f"\rinverting: {step.index} of {step.n_steps}", end="", file=sys.stderr)
    print(file=sys.stderr)
    found = inversion.result()

    # 2. what the first directions do to it, strengths -3 to 3 from left to right
    directions = find_directions(prior.generator, 4)
    editor = Editor(image, found.codes, prior)
    write_image(chosen.strip, np.concatenate(list(preview_strip(editor, directions))))

    # 3. go along two of them; the codes are those found above, so that nothing is searched again
    edit = Editing(image, prior, [(directions[0], 2.0), (directions[1], -1.0)], codes=found)
    for _ in edit:
        pass
    result = edit.result()
    write_image(chosen.output, result.image, recipe=result.recipe)
    print(
        f"{chosen.output}: {int(result.invented.sum())} of {result.invented.size} pixels changed, "
        "and all of these are invented"
    )


if __name__ == "__main__":
    raise SystemExit(main())
