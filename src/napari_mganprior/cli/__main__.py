"""``python -m napari_mganprior.cli`` is ``napari-mganprior``."""

import sys

from napari_mganprior.cli import main

sys.exit(main())
