"""Restore an image from a script: load, restore, save with the recipe, measure.

    python examples/restore_an_image.py
    python examples/restore_an_image.py --prior my_prior.safetensors --quality best -o out.tif

It takes one of the bundled samples, whose undamaged state is known. For your own image put
``read_image(Path("cells.tif")).array`` in place of ``sample.damaged`` and
``read_mask(Path("damage.png"))`` in place of ``sample.mask``; both are in
``napari_mganprior.files``. There is no truth to compare with then.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_mganprior import Inpainting, Restoration, load_prior
from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files import check_output, write_image
from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.priors import find_prior
from napari_mganprior.samples import SAMPLES, load_sample


def restore(run: Inpainting) -> Restoration:
    """Go through all steps and say how far it is, at every tenth of the way."""
    told = -1
    for step in run:
        tenth = 10 * step.index // step.n_steps
        if tenth > told:
            told = tenth
            print(
                f"{tenth * 10:3} %  window {step.window} of {step.n_windows}  loss {step.loss:.2g}",
                flush=True,
            )
    return run.result()


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments and do it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--prior", default="nuclei", help="a prior's name or its file")
    parser.add_argument("--sample", default="nuclei_bubble", choices=SAMPLES)
    parser.add_argument("--quality", default="balanced", choices=QUALITIES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("restored.tif"))
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    args = parser.parse_args(argv)
    sample = load_sample(args.sample)
    try:
        # before the work, not after it
        check_output(args.output, sample.damaged, overwrite=args.overwrite)
        prior = load_prior(find_prior(args.prior))
        print(f"prior {prior.card.name}, sha256 {prior.sha256}")
        run = Inpainting(sample.damaged, sample.mask, prior, quality=args.quality, seed=args.seed)
        result = restore(run)
        write_image(args.output, result.image, recipe=result.recipe)
    except MGANPriorError as error:  # its message says what to do
        print(error, file=sys.stderr)
        return 1
    print(f"{args.output}: {int(result.invented.sum())} invented pixels")
    print(f"restarts differ there by {result.uncertainty[result.invented].mean():.1f} grey values")
    for name, image in (("damaged", sample.damaged), ("restored", result.image)):
        psnr = psnr_in(sample.mask, sample.truth, image, data_range=255)
        ssim = ssim_in(sample.mask, sample.truth, image, data_range=255)
        print(f"{name:9} inside the damage: PSNR {psnr:.2f} dB, SSIM {ssim:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
