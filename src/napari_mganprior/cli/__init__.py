"""The command-line door: ``napari-mganprior COMMAND``.

Exit codes: 0 done, 2 refused or failed with a message, 130 stopped with Ctrl-C.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from napari_mganprior.cli.arguments import PROGRAM, build_parser
from napari_mganprior.errors import MGANPriorError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if left out.

    Returns
    -------
    int
        The exit code.
    """
    args = build_parser().parse_args(argv)
    try:
        # the commands bring torch, which --help and --version need not wait for
        import_module(f"napari_mganprior.cli.{args.module}").run(args)
    except MGANPriorError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(
            f"{PROGRAM}: error: Could not import what the command needs ({error}); wanted a "
            "complete installation. Install napari-mganprior again into a fresh environment.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: stopped with Ctrl-C. {args.when_stopped}", file=sys.stderr)
        return 130
    return 0
