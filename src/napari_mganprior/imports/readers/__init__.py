"""Readers of foreign files, a format a file; none of them runs anything it reads."""

from napari_mganprior.imports.readers.opening import open_foreign

__all__ = ["open_foreign"]
