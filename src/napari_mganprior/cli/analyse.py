"""`napari-mganprior analyse`: a layer study, or the roles of codes, of an image file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mganprior.errors import StorageError
from napari_mganprior.files import ImageFile, read_image, read_mask, write_atomically, write_image
from napari_mganprior.priors import find_prior

if TYPE_CHECKING:
    from napari_mganprior.analysis import AnalysisStep, Roles, Study, StudyRow
    from napari_mganprior.analysis.parts import Region

__all__ = ["run"]

_WRITES = {
    "study": ("study.csv", "study.svg", "study.tif"),
    "roles": ("roles.csv", "roles.tif", "contributions.tif", "alone.tif", "drawing.tif"),
}


def run(args: argparse.Namespace) -> None:
    """Analyse an image file; paths are checked before torch is loaded."""
    image = read_image(args.image)
    _check_folder(args)
    find_prior(args.prior)
    (_study if args.action == "study" else _roles)(args, image)


def _check_folder(args: argparse.Namespace) -> None:
    if args.output.exists() and not args.output.is_dir():
        raise StorageError(
            f"Got the output {args.output}, which is a file; wanted a folder. Choose another name."
        )
    there = [name for name in _WRITES[args.action] if (args.output / name).exists()]
    if there and not args.overwrite:
        raise StorageError(
            f"Got the folder {args.output}, which holds {', '.join(there)} already; wanted one "
            "without. Choose another, or allow overwriting (--overwrite)."
        )


def _region(args: argparse.Namespace) -> "Region":
    if args.whole:
        return "whole"
    return "middle" if args.region is None else tuple(args.region)


def _study(args: argparse.Namespace, image: ImageFile) -> None:
    from napari_mganprior.analysis import LayerStudy, StudyConfig
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.cli.restoring import open_prior

    config = StudyConfig.of_quality(
        args.quality,
        task=args.task,
        cuts=tuple(args.cuts),
        codes=tuple(args.codes),
        n_restarts=args.restarts,
        n_steps=args.steps,
        trial=not args.measured,
        factor=args.factor,
    )
    mask = None if args.mask is None else read_mask(args.mask)
    truth = None if args.truth is None else read_image(args.truth).array
    study = LayerStudy(
        image.array,
        open_prior(args),
        config,
        mask=mask,
        truth=truth,
        region=_region(args),
        seed=args.seed,
        device=args.device,
    )
    finished = 0
    try:
        for step in follow(study, _place, unit="step", quiet=args.quiet):
            if step.row is not None:
                finished += 1
                if not args.quiet:
                    print(_told(step.row), flush=True)
    except KeyboardInterrupt:
        if finished:
            _write_study(study.result(), args.output)
        raise
    _write_study(study.result(), args.output)
    print(f"{study.result().finding()}\n{args.output / 'study.csv'}")


def _write_study(study: "Study", folder: Path) -> None:
    from napari_mganprior.analysis import study_plot

    write_atomically(folder / "study.csv", study.to_csv().encode())
    write_atomically(folder / "study.svg", study_plot(study).encode())
    pictures = study.stack.reshape(-1, *study.stack.shape[2:])
    recipe = {**study.recipe, "cuts": list(study.cuts), "codes": list(study.codes)}
    write_image(folder / "study.tif", pictures, recipe=recipe, planes=True)


def _roles(args: argparse.Namespace, image: ImageFile) -> None:
    from napari_mganprior.analysis import CodeRoles
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.cli.restoring import open_prior
    from napari_mganprior.restore import load_codes

    prior = open_prior(args)
    codes = () if args.start is None else load_codes(args.start, prior.sha256)
    roles = CodeRoles(
        image.array,
        prior,
        codes=codes,
        region=_region(args),
        quality=args.quality,
        seed=args.seed,
        device=args.device,
    )
    for _ in follow(roles, _place, unit="step", quiet=args.quiet):
        pass
    found = roles.result()
    _write_roles(found, args.output)
    shares = sorted(enumerate(found.shares(), 1), key=lambda pair: -pair[1])[:5]
    first = ", ".join(f"code {n} {100 * share:.0f} %" for n, share in shares if share > 0)
    print(f"First contributors by their share of the pixels: {first}\n{args.output / 'roles.csv'}")


def _write_roles(roles: "Roles", folder: Path) -> None:
    write_atomically(folder / "roles.csv", roles.to_csv().encode())
    write_image(folder / "roles.tif", roles.labels, recipe=roles.recipe)
    for name, pictures in (("contributions", roles.contributions), ("alone", roles.alone)):
        write_image(folder / f"{name}.tif", pictures, recipe=roles.recipe, planes=True)
    write_image(folder / "drawing.tif", roles.drawing, recipe=roles.recipe)


def _place(step: "AnalysisStep") -> tuple[int, int, str]:
    return step.index, step.n_steps, f"{step.doing}, loss {step.loss:.2g}"


def _told(row: "StudyRow") -> str:
    words = f"cut {row.cut:2} ({row.map_size:3} px, {row.channels:3} ch)  {row.n_codes:2} codes  "
    if row.psnr is not None and row.ssim is not None:
        words += f"PSNR {row.psnr:6.2f} dB  SSIM {row.ssim:.3f}"
    elif row.held_out is not None:
        words += f"held-out misfit {row.held_out:.4g}"
    return f"{words}  residual {row.residual:.4g}  {row.seconds:.1f} s"
