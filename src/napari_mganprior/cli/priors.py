"""`napari-mganprior priors`: what priors there are."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_mganprior.cli.progress import follow
from napari_mganprior.errors import PriorError
from napari_mganprior.priors import (
    fetch_steps,
    find_prior,
    find_weights,
    install_steps,
    prior_names,
    read_entry,
    remove_prior,
    user_folder,
)
from napari_mganprior.priors.words import tell_prior

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """List, install, import or remove priors, or tell about one."""
    if args.action == "info":
        _print_info(args.prior)
    elif args.action == "import":
        _import(args)
    elif args.action == "install":
        _install(args)
    elif args.action == "weights":
        _fetch(args)
    elif args.action == "remove":
        for path in remove_prior(args.prior):
            print(f"removed {path}")
    elif args.action == "path":
        print(user_folder() if args.prior is None else find_prior(args.prior))
    else:
        _print_list()


def _import(args: argparse.Namespace) -> None:
    from napari_mganprior.imports import import_steps, read_description

    architecture = args.architecture
    asked = {"class": args.number, "truncation": args.truncation}
    options: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if architecture is not None and architecture.lower().endswith(".json"):
        options["description"] = read_description(Path(architecture))
        architecture = "described"
    steps = import_steps(
        args.file,
        name=args.name,
        architecture=architecture,
        options=options,
        domain=args.domain,
        licence=args.licence,
        overwrite=args.overwrite,
    )
    for step in follow(
        steps, lambda step: (step.index, step.n_steps, step.doing), unit="step", quiet=args.quiet
    ):
        entry = step.entry
    assert entry is not None
    _print_info(entry.name)
    print(f"\nSamples: {entry.path.with_name(f'{entry.path.stem}_grid.png')}")
    print(f"Use it with --prior {entry.name}")


def _install(args: argparse.Namespace) -> None:
    steps = install_steps(args.source, sha256=args.sha256, name=args.name, overwrite=args.overwrite)
    for step in follow(
        steps, lambda step: (step.index, step.n_steps, step.doing), unit="kB", quiet=args.quiet
    ):
        last = step
    for entry in last.entries:
        said = "installed" if entry.name in last.fresh else "there already"
        print(f"{said}: {entry.name}, sha256 {entry.sha256}")
        print(f"  {entry.path}")
    if args.sha256 is None and last.fresh:
        print("No sha256 was given: it is stored, and `priors info` tells if the file changes.")
    for name, why in last.refused.items():
        print(f"left out {name}: {why}")
    print(f"Use it with --prior {last.entries[0].name}")


def _fetch(args: argparse.Namespace) -> None:
    steps = fetch_steps(args.weights, args.source, sha256=args.sha256)
    for step in follow(
        steps,
        lambda step: (step.done // 1000, -(-step.total // 1000), step.doing),
        unit="kB",
        quiet=args.quiet,
    ):
        last = step
    print(f"{args.weights}: sha256 {last.sha256}\n  {find_weights(args.weights)}")


def _print_list() -> None:
    rows = [("name", "from", "images", "sha256", "shows")]
    for name in prior_names():
        try:
            entry = read_entry(name)
        except PriorError as error:  # a damaged file is listed too, with what is wrong with it
            rows.append((name, "", "", "", str(error)))
            continue
        spec = entry.card.generator
        kind = "grey" if spec.get("image_channels") == 1 else "RGB"
        size = f"{spec.get('resolution')} px {kind}"
        rows.append((name, entry.source, size, entry.sha256[:16], entry.card.domain))
    _print_table(rows)
    print(f"\nYour own priors are .safetensors files in {user_folder()}")


def _print_info(name: str) -> None:
    entry = read_entry(name)
    card = entry.card
    told = tell_prior(name)
    facts = {
        "name": entry.name,
        "images": told.get("Images", "not stated"),
        "file": entry.path,
        "size": told.get("Size", "not stated"),
        "sha256": entry.sha256,
        "from": entry.source,
        "installed": told.get("Installed", "no"),
        "shows": card.domain,
        "pixel size": card.pixel_size or "not stated",
        "licence": card.licence or "not stated",
        "architecture": card.architecture,
        "generator": json.dumps(card.generator),
        "discriminator": json.dumps(card.discriminator) if card.discriminator else "none",
        "value range": card.value_range,
        "pixel values": json.dumps(card.pixel_normalisation),
        "training": json.dumps(card.training, indent=2),
    }
    _print_table([(key, str(value)) for key, value in facts.items()])


def _print_table(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows in columns; the last column may be as long as it likes."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        print("  ".join(cells).rstrip())
