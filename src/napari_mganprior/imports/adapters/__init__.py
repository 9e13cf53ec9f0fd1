"""Published layouts, in the order in which they are tried."""

from napari_mganprior.imports.adapters.biggan import BigGANAdapter
from napari_mganprior.imports.adapters.biggan_deep import BigGANDeepAdapter
from napari_mganprior.imports.adapters.dcgan import DCGANAdapter
from napari_mganprior.imports.adapters.described import DescribedAdapter
from napari_mganprior.imports.adapters.pggan import PGGANAdapter
from napari_mganprior.imports.adapters.pggan_tf import PGGANTensorFlowAdapter
from napari_mganprior.imports.adapters.pggan_zoo import PGGANZooAdapter
from napari_mganprior.imports.adapters.stylegan import StyleGANAdapter
from napari_mganprior.imports.adapters.stylegan2 import (
    StyleGAN2Adapter,
    StyleGAN2NvidiaAdapter,
    StyleGAN2RosinalityAdapter,
)
from napari_mganprior.imports.base import Adapter

ADAPTERS: tuple[Adapter, ...] = (
    # one line an adapter
    PGGANAdapter(),
    PGGANZooAdapter(),
    PGGANTensorFlowAdapter(),
    StyleGANAdapter(),
    StyleGAN2Adapter(),
    StyleGAN2RosinalityAdapter(),
    StyleGAN2NvidiaAdapter(),
    BigGANDeepAdapter(),
    BigGANAdapter(),
    DCGANAdapter(),
    DescribedAdapter(),
)

__all__ = ["ADAPTERS"]
