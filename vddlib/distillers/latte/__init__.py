"""Latte: a class-conditional video diffusion transformer, and the pools of videos that it generates.

Ma et al., *Latte: Latent Diffusion Transformer for Video Generation*, TMLR 2025 (arXiv:2401.03048); used as a generator of
pools by Li et al., *Video Dataset Condensation with Diffusion Models* (section 3).
"""

from vddlib.distillers.latte.autoencoder import Codec, pick_codec
from vddlib.distillers.latte.pool import Pool, load_pool, make_pool
from vddlib.distillers.latte.settings import Latte
from vddlib.distillers.latte.transformer import SIZES, LatteTransformer

__all__ = ["SIZES", "Codec", "Latte", "LatteTransformer", "Pool", "load_pool", "make_pool", "pick_codec"]
